internal import CPostgres

/// Writes `COPY … FROM STDIN`. Say `row(n)`, then append n values; `finish()` at the end.
///
/// Dropped without `finish()`, it aborts the COPY: nothing is stored.
public final class CopyWriter {
  let connection: Connection
  let binary: Bool
  private var isOver = false
  // Unchecked: nothing here calls back into us while it writes, and the check of each access
  // would cost more than the writing.
  @exclusivity(unchecked) @usableFromInline var wire: CopyBuffer
  @exclusivity(unchecked) @usableFromInline var fieldsLeft = 0
  /// Rows begun.
  @exclusivity(unchecked) public private(set) var rowsWritten = 0

  /// Large enough to make calls rare, small enough for the cache.
  private static let bufferBytes = 128 << 10

  init(_ connection: Connection, binary: Bool) {
    self.connection = connection
    self.binary = binary
    wire = CopyBuffer(capacity: Self.bufferBytes + 16 << 10)
    if binary {
      copySignature.withUnsafeBytes { wire.put($0) }
      wire.put(Int32(0))
      wire.put(Int32(0))
    }
  }

  deinit {
    abort("not finished")
    wire.free()
  }

  /// Begins the next row of a binary COPY.
  ///
  /// - Throws: `.usage` when the row before lacks values or has too many; the server's error.
  public func row(_ fieldCount: Int) throws(PostgresError) {
    guard fieldsLeft == 0, binary, fieldCount >= 0, fieldCount <= 1664 else {
      throw .usage(
        binary
          ? "row \(rowsWritten) has \(fieldsLeft) values fewer than it said"
          : "a text COPY has no binary rows; use raw")
    }
    if wire.count >= Self.bufferBytes { try flush() }
    wire.put(Int16(truncatingIfNeeded: fieldCount))
    fieldsLeft = fieldCount
    rowsWritten += 1
  }

  /// Bytes of the stream as they are, for a COPY in text format.
  public func raw(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) {
    guard !binary else { throw .usage("a binary COPY is written by rows") }
    wire.put(bytes)
    if wire.count >= Self.bufferBytes { try flush() }
  }

  private func flush() throws(PostgresError) {
    let handle = try openHandle()
    if wire.count == 0 { return }
    guard wire.count < 1 << 30 else {
      abort("row too large")
      throw .usage("\(wire.count) bytes in a row; the server allows 1 GiB")
    }
    let sent = PQputCopyData(
      handle, wire.base.assumingMemoryBound(to: CChar.self), Int32(wire.count))
    wire.count = 0
    guard sent == 1 else {
      // The server's reason, if it gave one, is waiting.
      isOver = true
      try connection.finishCopy(handle)
      throw connection.lost(mayHaveSent: true)
    }
  }

  /// The connection may have been closed in between; its handle is gone then.
  private func openHandle() throws(PostgresError) -> OpaquePointer {
    guard !isOver else { throw .usage("the COPY is over") }
    guard let handle = connection.handle else { throw connection.lost(mayHaveSent: true) }
    return handle
  }

  /// Ends the COPY.
  ///
  /// - Returns: The number of rows that the server stored.
  /// - Throws: The server's error; nothing is then stored.
  @discardableResult
  public func finish() throws(PostgresError) -> Int {
    let handle = try openHandle()
    guard fieldsLeft == 0 else {
      let missing = fieldsLeft
      abort("row cut short")
      throw .usage("the last row has \(missing) values fewer than it said")
    }
    if binary { wire.put(Int16(-1)) }
    try flush()
    isOver = true
    guard PQputCopyEnd(handle, nil) == 1 else {
      try connection.finishCopy(handle)
      throw connection.lost(mayHaveSent: true)
    }
    return try connection.finishCopy(handle)
  }

  /// Ends the COPY as a failure: nothing is stored. A transaction around it is then a failed one.
  /// Idempotent.
  public func abort(_ message: String) {
    if isOver { return }
    isOver = true
    guard let handle = connection.handle else { return }
    wire.count = 0
    _ = PQputCopyEnd(handle, message)
    _ = try? connection.finishCopy(handle)
  }
}

/// The values of a row, in the order of its columns. `nil` is NULL.
extension CopyWriter {
  @inlinable public func null() {
    fieldsLeft &-= 1
    wire.put(Int32(-1))
  }

  @inlinable public func bool(_ value: Bool?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(UInt8(value ? 1 : 0))
  }

  @inlinable public func int2(_ value: Int16?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(value)
  }

  @inlinable public func int4(_ value: Int32?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(value)
  }

  @inlinable public func int8(_ value: Int64?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(value)
  }

  @inlinable public func float8(_ value: Double?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(value.bitPattern)
  }

  /// Text, or the label of an enum.
  @inlinable public func text(_ value: String?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(text: value)
  }

  @inlinable public func json(_ value: String?) { text(value) }

  @inlinable public func jsonb(_ value: String?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(jsonb: value)
  }

  @inlinable public func bytes(_ value: [UInt8]?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    value.withUnsafeBytes { wire.field(raw: $0) }
  }

  /// Raw bytes in the binary form of the column's type.
  @inlinable public func bytes(_ value: UnsafeRawBufferPointer) {
    fieldsLeft &-= 1
    wire.field(raw: value)
  }

  @inlinable public func uuid(_ high: UInt64, _ low: UInt64) {
    fieldsLeft &-= 1
    wire.field(uuid: high, low)
  }

  /// - Parameter micros: Microseconds since 1970 UTC; `Int64.max` is `infinity`.
  @inlinable public func timestamptz(microsSince1970 micros: Int64?) {
    guard let micros else { return null() }
    fieldsLeft &-= 1
    wire.field(Epoch.wire(fromMicrosSince1970: micros))
  }

  public func array(_ builder: ArrayBuilder) {
    fieldsLeft &-= 1
    var array = WireBuffer()
    builder.encode(into: &array)
    array.bytes.withUnsafeBytes { wire.field(raw: $0) }
  }
}

extension Connection {
  /// Begins `COPY … FROM STDIN`, in binary (`(FORMAT binary)` in the SQL) or text format.
  public func copyIn(_ sql: String) throws(PostgresError) -> CopyWriter {
    let (binary, _) = try startCopy(sql, PGRES_COPY_IN)
    return CopyWriter(self, binary: binary)
  }
}
