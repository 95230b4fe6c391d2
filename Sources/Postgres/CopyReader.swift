internal import CPostgres
internal import Dispatch

/// One row of a binary COPY: a view, valid until the next row is asked for.
public struct CopyRow: ~Copyable {
  @usableFromInline let fields: UnsafeBufferPointer<Field>

  init(_ fields: UnsafeBufferPointer<Field>) { self.fields = fields }

  /// Number of columns.
  @inlinable public var count: Int { fields.count }

  /// - Precondition: `column` is below `count`; check `count` once, columns come from our own SQL.
  @inlinable public subscript(column: Int) -> Field {
    precondition(column >= 0 && column < fields.count, "a column that the COPY does not have")
    return fields[column]
  }
}

/// Reads `COPY … TO STDOUT`, row by row, without an allocation of ours for each.
///
/// Dropping it before the end cancels the COPY and leaves the connection usable; a transaction
/// around it is then a failed one.
public final class CopyReader {
  let connection: Connection
  let binary: Bool
  // Unchecked: nothing here calls back into us, and the checks would cost a tenth of the reading.
  @exclusivity(unchecked) private var isOver = false
  @exclusivity(unchecked) private var message: UnsafeMutablePointer<CChar>?
  private let fields: UnsafeMutableBufferPointer<Field>
  @exclusivity(unchecked) private var sawHeader = false
  @exclusivity(unchecked) private var sawTrailer = false
  /// Rows of a binary COPY, or messages of another, so far.
  @exclusivity(unchecked) public private(set) var rowsRead = 0
  private let pace: (any ReadPace)?
  /// Since the last rest.
  @exclusivity(unchecked) private var bytesRead = 0
  @exclusivity(unchecked) private var restedAt: UInt64

  init(_ connection: Connection, binary: Bool, columns: Int) {
    self.connection = connection
    self.binary = binary
    fields = .allocate(capacity: columns)
    pace = connection.pace
    restedAt = pace == nil ? 0 : DispatchTime.now().uptimeNanoseconds
  }

  deinit {
    cancel()
    PQfreemem(message)
    fields.deallocate()
  }

  /// The next row of a binary COPY; nil after the last, when the server has confirmed the end.
  ///
  /// - Throws: The server's error, also one that comes after the last row; `.protocolViolation`
  ///   for bytes that are no such row, after which the COPY is cancelled.
  public func next() throws(PostgresError) -> CopyRow? {
    guard binary else { throw .usage("a text COPY has no fields; use nextRaw") }
    while let bytes = try nextMessage() {
      do {
        if let count = try parse(bytes) {
          rowsRead += 1
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

  /// The next piece of the stream as it came, one row in it; valid until the next call.
  public func nextRaw() throws(PostgresError) -> UnsafeRawBufferPointer? {
    guard let bytes = try nextMessage() else { return nil }
    rowsRead += 1
    return bytes
  }

  private func nextMessage() throws(PostgresError) -> UnsafeRawBufferPointer? {
    if isOver { return nil }
    if let message { PQfreemem(message) }
    message = nil
    // The connection may have been closed in between; its handle is gone then.
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
    // The reason of a -2 comes as a result, which would have thrown.
    throw connection.lost(mayHaveSent: true)
  }

  /// What a socket holds: while we rest, the server soon does too.
  private static let bytesBetweenRests = 256 << 10

  private func rest() {
    bytesRead = 0
    guard let pace else { return }
    pace.rest(after: DispatchTime.now().uptimeNanoseconds - restedAt)
    restedAt = DispatchTime.now().uptimeNanoseconds
  }

  /// Number of fields; nil for a message without a row.
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
    guard !sawTrailer else { throw .protocolViolation("bytes after the trailer of a binary COPY") }
    guard whole.count - offset >= 2 else { throw .protocolViolation("row cut short") }
    let count = Int(Int16(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: Int16.self)))
    offset += 2
    if count == -1 {
      sawTrailer = true
      return nil
    }
    guard count == fields.count else {
      throw .protocolViolation("expected \(fields.count) columns, got \(count)")
    }
    for column in 0..<count {
      guard whole.count - offset >= 4 else { throw .protocolViolation("row cut short") }
      let length = Int(
        Int32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
      offset += 4
      if length == -1 {
        fields[column] = Field(start: nil, count: 0)
        continue
      }
      guard length >= 0, length <= whole.count - offset else {
        throw .protocolViolation("row cut short")
      }
      fields[column] = Field(start: base + offset, count: length)
      offset += length
    }
    guard offset == whole.count else { throw .protocolViolation("bytes after the end of a row") }
    return count
  }

  private func skipHeader(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) -> Int {
    guard bytes.count >= 19, bytes.prefix(11).elementsEqual(copySignature) else {
      throw .protocolViolation("no header of a binary COPY")
    }
    func int(_ offset: Int) -> Int32 {
      Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    }
    let extra = Int(int(15))
    // The low half of the flags may be ignored, the high half must be understood.
    guard UInt32(bitPattern: int(11)) >> 16 == 0, extra >= 0, extra <= bytes.count - 19 else {
      throw .protocolViolation("a binary COPY of an unknown kind")
    }
    return 19 + extra
  }

  /// Ends the COPY early. Idempotent; errors of the ending are of no interest.
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

  /// Runs `COPY … TO STDOUT (FORMAT binary)` and hands each row to `body`.
  ///
  /// - Returns: The number of rows.
  /// - Throws: `PostgresError`, or what `body` throws; the COPY is then cancelled and the
  ///   connection stays usable.
  @discardableResult
  public func copyOut(
    _ sql: String, row body: (borrowing CopyRow) throws -> Void
  ) throws -> Int {
    let reader = try copyReader(sql)
    while let row = try reader.next() {
      do {
        try body(row)
      } catch {
        reader.cancel()
        throw error
      }
    }
    return reader.rowsRead
  }

  /// The same for any format: hands over the bytes, one row at a time.
  @discardableResult
  public func copyOutRaw(
    _ sql: String, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws -> Int {
    let reader = try copyReader(sql)
    while let bytes = try reader.nextRaw() {
      do {
        try body(bytes)
      } catch {
        reader.cancel()
        throw error
      }
    }
    return reader.rowsRead
  }

  func startCopy(
    _ sql: String, _ expected: ExecStatusType
  ) throws(PostgresError) -> (binary: Bool, columns: Int) {
    let handle = try idleHandle()
    guard !sql.utf8.contains(0) else { throw .usage("a zero byte in the SQL") }
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
      failed = true
      close()
      throw .usage("a COPY in the other direction; the connection is closed")
    case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
      throw .usage("not a COPY")
    default: throw error(of: result)
    }
  }

  /// Reads to the end of the command: late errors come only here.
  ///
  /// - Returns: Rows copied, as the server counts them.
  @discardableResult
  func finishCopy(_ handle: OpaquePointer) throws(PostgresError) -> Int {
    copying = false
    // Of one that was begun for the COPY nobody else knows.
    defer { if copyOwnsTransaction { try? rollbackIfOpen() } }
    var first: PostgresError?
    var rows = 0
    while let result = PQgetResult(handle) {
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK:
        rows += Rows(owning: result).rowsAffected
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        // libpq would give this for ever: the stream is not where we thought.
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
