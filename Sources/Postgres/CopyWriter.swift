internal import CPostgres

/// Writes `COPY … FROM STDIN`. Call `row(n)`, then append n values; at the end call `finish()`.
///
/// A writer that is released without `finish()` aborts the COPY: nothing is stored.
public final class CopyWriter: CopyRows {
  let connection: Connection
  let binary: Bool
  private var isOver = false

  init(_ connection: Connection, binary: Bool) {
    self.connection = connection
    self.binary = binary
    super.init()
    if binary {
      copySignature.withUnsafeBytes { wire.put($0) }
      wire.put(Int32(0))
      wire.put(Int32(0))
    }
  }

  deinit { abort("the COPY was not finished") }

  public override func row(_ fieldCount: Int) throws(PostgresError) {
    guard binary else { throw .usage("a text COPY has no binary rows: use raw") }
    try super.row(fieldCount)
  }

  /// Sends rows that were made before. `made` keeps them.
  public func rows(_ made: CopyRows) throws(PostgresError) {
    guard binary, made.fieldsLeft == 0 else {
      throw .usage("the rows lack their last values, or the COPY has text format")
    }
    try spill()
    for chunk in made.full { try send(chunk.bytes) }
    try send(made.wire.bytes)
  }

  /// Sends bytes of a COPY in text format.
  public func raw(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) {
    guard !binary else { throw .usage("a binary COPY has no raw bytes: use row") }
    wire.put(bytes)
    if wire.count >= Self.bufferBytes { try spill() }
  }

  override func spill() throws(PostgresError) {
    try send(wire.bytes)
    wire.count = 0
  }

  private func send(_ bytes: UnsafeRawBufferPointer) throws(PostgresError) {
    let handle = try openHandle()
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    guard bytes.count < 1 << 30 else {
      abort("a row is too large")
      throw .usage("a row has \(bytes.count) bytes; the server allows 1 GiB")
    }
    let sent = PQputCopyData(
      handle, start.assumingMemoryBound(to: CChar.self), Int32(bytes.count))
    guard sent == 1 else {
      // finishCopy throws the server's error, if there is one.
      isOver = true
      try connection.finishCopy(handle)
      throw connection.lost(mayHaveSent: true)
    }
  }

  private func openHandle() throws(PostgresError) -> OpaquePointer {
    guard !isOver else { throw .usage("the COPY is over") }
    guard let handle = connection.handle else { throw connection.lost(mayHaveSent: true) }
    return handle
  }

  /// Ends the COPY.
  ///
  /// - Returns: The number of rows that the server stored.
  /// - Throws: The server's error. Nothing is stored then.
  @discardableResult
  public func finish() throws(PostgresError) -> Int {
    let handle = try openHandle()
    guard fieldsLeft == 0 else {
      let missing = fieldsLeft
      abort("a row is incomplete")
      throw .usage("the last row lacks \(missing) of its values")
    }
    if binary { wire.put(Int16(-1)) }
    try spill()
    isOver = true
    guard PQputCopyEnd(handle, nil) == 1 else {
      try connection.finishCopy(handle)
      throw connection.lost(mayHaveSent: true)
    }
    return try connection.finishCopy(handle)
  }

  /// Fails the COPY, and a transaction around it: nothing is stored. Idempotent.
  public func abort(_ message: String) {
    if isOver { return }
    isOver = true
    guard let handle = connection.handle else { return }
    wire.count = 0
    _ = PQputCopyEnd(handle, message)
    _ = try? connection.finishCopy(handle)
  }
}

extension Connection {
  /// Begins `COPY … FROM STDIN`, in binary (`(FORMAT binary)` in the SQL) or text format.
  public func copyIn(_ sql: String) throws(PostgresError) -> CopyWriter {
    let (binary, _) = try startCopy(sql, PGRES_COPY_IN)
    return CopyWriter(self, binary: binary)
  }
}
