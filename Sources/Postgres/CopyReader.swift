internal import CPostgres

/// One row of a binary COPY. It is a view, which is valid until the next call of `next()`.
public struct CopyRow: ~Copyable {
  @usableFromInline let fields: UnsafeBufferPointer<Field>

  init(_ fields: UnsafeBufferPointer<Field>) { self.fields = fields }

  /// The number of columns.
  @inlinable public var count: Int { fields.count }

  /// - Precondition: `column` is below `count`. Columns come from opsledger's own SQL.
  @inlinable public subscript(column: Int) -> Field {
    precondition(column >= 0 && column < fields.count, "the COPY does not have this column")
    return fields[column]
  }
}

/// Reads `COPY … TO STDOUT` row by row, without an allocation for each row.
///
/// A reader that is released before the end cancels the COPY. The connection stays usable, but a transaction around the
/// COPY has failed.
public final class CopyReader {
  let connection: Connection
  let binary: Bool
  // Unchecked: no method calls a closure, and the checks would cost a tenth of the read.
  @exclusivity(unchecked) private var isOver = false
  @exclusivity(unchecked) private var message: UnsafeMutablePointer<CChar>?
  private let fields: UnsafeMutableBufferPointer<Field>
  @exclusivity(unchecked) private var sawHeader = false
  @exclusivity(unchecked) private var sawTrailer = false
  private let pace: (any ReadPace)?
  /// Bytes since the last rest.
  @exclusivity(unchecked) private var bytesRead = 0
  @exclusivity(unchecked) private var restedAt: UInt64

  init(_ connection: Connection, binary: Bool, columns: Int) {
    self.connection = connection
    self.binary = binary
    fields = .allocate(capacity: columns)
    pace = connection.pace
    restedAt = pace == nil ? 0 : monotonicNanos()
  }

  deinit {
    cancel()
    PQfreemem(message)
    fields.deallocate()
  }

  /// The next row of a binary COPY; nil after the last, when the server has confirmed the end.
  ///
  /// - Throws: The server's error, also after the last row; or `.protocolViolation` for bytes that are not a row, which
  ///   also cancels the COPY.
  public func next() throws(PostgresError) -> CopyRow? {
    guard binary else { throw .usage("a text COPY has no fields: use nextRaw") }
    while let bytes = try nextRaw() {
      do {
        if let count = try parse(bytes) {
          return CopyRow(UnsafeBufferPointer(start: fields.baseAddress, count: count))
        }
      } catch {
        cancel()
        throw error
      }
    }
    guard sawTrailer else { throw .protocolViolation("the binary COPY ended without its trailer") }
    return nil
  }

  /// The bytes of the next row, which are valid until the next call; nil after the last.
  public func nextRaw() throws(PostgresError) -> UnsafeRawBufferPointer? {
    if isOver { return nil }
    if let message { PQfreemem(message) }
    message = nil
    guard let handle = connection.handle else {
      isOver = true
      throw connection.lost(mayHaveSent: true)
    }
    let count = PQgetCopyData(handle, &message, 0)
    if count > 0 {
      bytesRead += Int(count)
      if bytesRead > Self.bytesBetweenRests { rest() }
      return UnsafeRawBufferPointer(start: message, count: Int(count))
    }
    isOver = true
    try connection.finishCopy(handle)
    if count == -1 { return nil }
    // After a -2 the error is in a result, so finishCopy has thrown it.
    throw connection.lost(mayHaveSent: true)
  }

  /// The size of a socket's buffer. While the reader rests, the server soon waits too.
  private static let bytesBetweenRests = 256 << 10

  private func rest() {
    bytesRead = 0
    guard let pace else { return }
    pace.rest(after: monotonicNanos() - restedAt)
    restedAt = monotonicNanos()
  }

  /// Reads one row. Returns the number of its fields; nil for a message without a row.
  ///
  /// - Source: PostgreSQL documentation, COPY, "Binary Format".
  private func parse(_ whole: UnsafeRawBufferPointer) throws(PostgresError) -> Int? {
    guard let base = whole.baseAddress else { return nil }
    var offset = 0
    if !sawHeader {
      offset = try skipHeader(whole)
      sawHeader = true
      if offset == whole.count { return nil }
    }
    guard !sawTrailer else {
      throw .protocolViolation("the binary COPY continues after its trailer")
    }
    guard whole.count - offset >= 2 else { throw Self.shortRow }
    let count = Int(Int16(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: Int16.self)))
    offset += 2
    if count == -1 {
      sawTrailer = true
      return nil
    }
    guard count == fields.count else {
      throw .protocolViolation("a row of the COPY has \(count) columns, and not \(fields.count)")
    }
    for column in 0..<count {
      guard whole.count - offset >= 4 else { throw Self.shortRow }
      let length = Int(
        Int32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
      offset += 4
      if length == -1 {
        fields[column] = Field(start: nil, count: 0)
        continue
      }
      guard length >= 0, length <= whole.count - offset else {
        throw Self.shortRow
      }
      fields[column] = Field(start: base + offset, count: length)
      offset += length
    }
    guard offset == whole.count else { throw .protocolViolation("a row of the COPY is too long") }
    return count
  }

  private static let shortRow = PostgresError.protocolViolation("a row of the COPY is incomplete")

  private func skipHeader(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) -> Int {
    guard bytes.count >= 19, bytes.prefix(11).elementsEqual(copySignature) else {
      throw .protocolViolation("the binary COPY has no header")
    }
    func int(_ offset: Int) -> Int32 {
      Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    }
    let extra = Int(int(15))
    // The low half of the flags may be ignored, the high half must be understood.
    guard UInt32(bitPattern: int(11)) >> 16 == 0, extra >= 0, extra <= bytes.count - 19 else {
      throw .protocolViolation("the binary COPY has an unknown format")
    }
    return 19 + extra
  }

  /// Ends the COPY early, and ignores errors. Idempotent.
  public func cancel() {
    if isOver { return }
    isOver = true
    guard let handle = connection.handle else { return }
    PQfreemem(message)
    message = nil
    if let token = try? connection.cancelToken() { try? token.cancel() }
    while PQgetCopyData(handle, &message, 0) > 0 {
      PQfreemem(message)
      message = nil
    }
    _ = try? connection.finishCopy(handle)
  }
}

/// - Source: PostgreSQL documentation, COPY, "Binary Format": `PGCOPY\n\377\r\n\0`.
let copySignature: [UInt8] = [0x50, 0x47, 0x43, 0x4f, 0x50, 0x59, 0x0a, 0xff, 0x0d, 0x0a, 0x00]

extension Connection {
  /// Begins `COPY … TO STDOUT`.
  public func copyReader(_ sql: String) throws(PostgresError) -> CopyReader {
    let (binary, columns) = try startCopy(sql, PGRES_COPY_OUT)
    return CopyReader(self, binary: binary, columns: columns)
  }

  func startCopy(
    _ sql: String, _ expected: ExecStatusType
  ) throws(PostgresError) -> (binary: Bool, columns: Int) {
    let handle = try idleHandle()
    try Self.requireNoZeroByte(in: sql)
    let isOwn = isPooled && transactionStatus == .idle
    let whole = isOwn ? "\(beginning(.readCommitted)); \(sql); COMMIT" : sql
    defer { if isOwn, !copying { try? rollbackIfOpen() } }
    guard let result = PQexec(handle, whole) else { throw lost(mayHaveSent: true) }
    defer { PQclear(result) }
    switch PQresultStatus(result) {
    case expected:
      copying = true
      copyOwnsTransaction = isOwn
      return (PQbinaryTuples(result) == 1, Int(PQnfields(result)))
    case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
      throw closing("the COPY has the other direction")
    case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
      throw .usage("the statement is not a COPY")
    default: throw error(of: result)
    }
  }

  /// Reads the end of the command, and its late errors.
  ///
  /// - Returns: The server's count of rows.
  @discardableResult
  func finishCopy(_ handle: OpaquePointer) throws(PostgresError) -> Int {
    copying = false
    // Nobody else ends a transaction that was begun for the COPY.
    defer { if copyOwnsTransaction { try? rollbackIfOpen() } }
    var first: PostgresError?
    var rows = 0
    while let result = PQgetResult(handle) {
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK:
        rows += Rows(owning: result).rowsAffected
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        // libpq would return this for ever.
        PQclear(result)
        failed = true
        throw first ?? .protocolViolation("the COPY did not end")
      default:
        if first == nil { first = error(of: result) }
        PQclear(result)
      }
    }
    if let first { throw first }
    if isBroken { throw lost(mayHaveSent: true) }
    return rows
  }
}
