internal import CPostgres

/// A statement that one connection has prepared, or prepares next.
final class PreparedStatement {
  enum State { case unknown, sent, ready }

  let sql: String
  /// The name on the server, as a C string, so that no call allocates one.
  let name: UnsafeMutablePointer<CChar>
  var state = State.unknown

  init(sql: String, name: String) {
    self.sql = sql
    let bytes = name.utf8CString
    self.name = .allocate(capacity: bytes.count)
    for (index, byte) in bytes.enumerated() { self.name[index] = byte }
  }

  deinit { name.deallocate() }
}

/// The four arrays that libpq needs for each statement. Later calls use them again.
struct SendScratch: ~Copyable {
  private(set) var capacity = 0
  private(set) var values = UnsafeMutablePointer<UnsafePointer<CChar>?>.allocate(capacity: 0)
  private(set) var lengths = UnsafeMutablePointer<Int32>.allocate(capacity: 0)
  private(set) var formats = UnsafeMutablePointer<Int32>.allocate(capacity: 0)
  private(set) var types = UnsafeMutablePointer<Oid>.allocate(capacity: 0)

  deinit { free() }

  private func free() {
    values.deallocate()
    lengths.deallocate()
    formats.deallocate()
    types.deallocate()
  }

  mutating func grow(to count: Int) {
    guard count > capacity else { return }
    free()
    capacity = max(count, 32)
    values = .allocate(capacity: capacity)
    lengths = .allocate(capacity: capacity)
    formats = .allocate(capacity: capacity)
    types = .allocate(capacity: capacity)
    formats.initialize(repeating: 1, count: capacity)
  }

  /// `base` must stay valid until the statement is sent.
  func fill(_ slots: [Parameters.Slot], base: UnsafeRawPointer) {
    for index in slots.indices {
      let slot = slots[index]
      types[index] = slot.type
      lengths[index] = max(0, slot.length)
      values[index] =
        slot.length < 0
        ? nil : (base + slot.offset).assumingMemoryBound(to: CChar.self)
    }
  }
}

extension Connection {
  /// Sends all statements and reads all answers, in one round trip.
  ///
  /// A batch without BEGIN is a transaction of its own. After an error the server skips the rest of the batch, also
  /// COMMIT. A transaction that the batch began is then open and failed: see `rollbackIfOpen`. The connection stays
  /// usable. A batch may have any size: libpq reads while it cannot send, so the two sides never wait for each other.
  ///
  /// - Returns: One answer for each statement, in order.
  /// - Throws: The error of the first statement that failed, with its index; or `.connectionLost`. If its `mayHaveSent`
  ///   is true, the outcome is unknown.
  @discardableResult
  public func pipeline(
    _ batch: [(Statement, Parameters)]
  ) throws(PostgresError) -> [Rows] {
    if batch.isEmpty { return [] }
    guard transactionStatus == .idle else { return try sendAndReceive(batch) }
    if isPooled { return try withSettings(batch) }
    try restoreSettings()
    do {
      return try sendAndReceive(batch)
    } catch {
      // The batch has done nothing, since its transaction failed.
      guard error.isStaleStatement,
        !batch.prefix(error.statementIndex ?? 0).contains(where: { $0.0 == .commit })
      else { throw error }
      try rollbackIfOpen()
      try restoreSettings()
      return try sendAndReceive(batch)
    }
  }

  /// Behind a pooler, each transaction first sets its settings, and returns the server process that runs it.
  private func withSettings(
    _ batch: [(Statement, Parameters)]
  ) throws(PostgresError) -> [Rows] {
    let begins = batch[0].0.isBegin
    var whole = begins ? batch : [(.begin, Parameters())] + batch + [(.commit, Parameters())]
    // The settings take the transaction's snapshot, so locks stay before them.
    let place = 1 + whole.dropFirst().prefix { $0.0.sql.hasPrefix("LOCK ") }.count
    whole.insert((localSettings, Parameters()), at: place)
    do {
      var answers = try sendAndReceive(whole)
      let here = answers.remove(at: place)
      lastBackend = Backend(
        pid: try here.int4(0, 0), transactionMicros: try here.timestamptz(0, 1))
      return begins ? answers : Array(answers.dropFirst().dropLast())
    } catch {
      if !begins { try? rollbackIfOpen() }
      throw error.earlier(by: begins ? 1 : 2)
    }
  }

  private func sendAndReceive(
    _ batch: [(Statement, Parameters)]
  ) throws(PostgresError) -> [Rows] {
    let handle = try idleHandle()
    var prepares: [PreparedStatement?] = []
    if !isPooled {
      prepares.reserveCapacity(batch.count)
      for (statement, parameters) in batch { prepares.append(try find(statement, parameters)) }
    }
    try check(batch)
    guard PQenterPipelineMode(handle) == 1 else { throw lost(mayHaveSent: false) }
    waiting?.begin(self)
    defer { waiting?.end() }
    let sentPrepares = try send(batch, prepares, on: handle)
    return try receive(batch.count, prepares, sentPrepares, on: handle)
  }

  /// One statement, one round trip.
  @discardableResult
  public func query(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) throws(PostgresError) -> Rows {
    try pipeline([(statement, parameters)])[0]
  }

  /// Checks everything before the first statement is sent: after a later failure, the server would commit what it got.
  private func check(_ batch: [(Statement, Parameters)]) throws(PostgresError) {
    for (statement, parameters) in batch {
      guard parameters.slots.count <= 65_535 else {
        throw .usage(
          "a statement has \(parameters.slots.count) parameters; the protocol allows 65535")
      }
      guard parameters.wire.count < 1 << 30 else {
        throw .usage(
          "a statement has \(parameters.wire.count) bytes of parameters; the server allows 1 GiB")
      }
      if isPooled { try Self.requireNoZeroByte(in: statement.sql) }
    }
  }

  /// The types are a part of the key. Otherwise a statement whose first use has a NULL without a type would fix the
  /// type of later values.
  private func find(
    _ statement: Statement, _ parameters: Parameters
  ) throws(PostgresError) -> PreparedStatement {
    var key = statement.fingerprint
    for slot in parameters.slots { key = (key ^ UInt64(slot.type)) &* 0x100_0000_01b3 }
    if let known = prepared[key] {
      guard known.sql == statement.sql else {
        throw .usage("two statements have the same fingerprint")
      }
      return known
    }
    try Self.requireNoZeroByte(in: statement.sql)
    let suffix = preparedGeneration == 0 ? "" : "_\(preparedGeneration)"
    let new = PreparedStatement(sql: statement.sql, name: "s" + hexadecimal(key) + suffix)
    prepared[key] = new
    return new
  }

  /// - Returns: The positions of the statements that this batch prepares, in order.
  private func send(
    _ batch: [(Statement, Parameters)], _ prepares: [PreparedStatement?], on handle: OpaquePointer
  ) throws(PostgresError) -> [Int] {
    var preparedHere: [Int] = []
    var complete = true
    for index in batch.indices {
      let slots = batch[index].1.slots
      scratch.grow(to: slots.count)
      let sent = batch[index].1.wire.bytes.withUnsafeBytes { bytes -> Bool in
        // An empty array may have no address, and a value without bytes still needs one.
        withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { spare -> Bool in
          guard let base = bytes.baseAddress ?? UnsafeRawPointer(spare.baseAddress) else {
            return false
          }
          scratch.fill(slots, base: base)
          guard !isPooled, let statement = prepares[index] else {
            return PQsendQueryParams(
              handle, batch[index].0.sql, Int32(slots.count), scratch.types, scratch.values,
              scratch.lengths, scratch.formats, 1) == 1
          }
          if statement.state == .unknown {
            guard
              PQsendPrepare(
                handle, statement.name, statement.sql, Int32(slots.count), scratch.types) == 1
            else { return false }
            statement.state = .sent
            preparedHere.append(index)
          }
          return PQsendQueryPrepared(
            handle, statement.name, Int32(slots.count), scratch.values, scratch.lengths,
            scratch.formats, 1) == 1
        }
      }
      guard sent else {
        complete = false
        break
      }
    }
    if complete, PQpipelineSync(handle) == 1 { return preparedHere }
    // A sync would commit a half of the batch, so end the connection instead.
    for index in preparedHere { prepares[index]?.state = .unknown }
    let error = lost(mayHaveSent: true)
    close()
    throw error
  }

  private func receive(
    _ count: Int, _ prepares: [PreparedStatement?], _ preparedHere: [Int],
    on handle: OpaquePointer
  ) throws(PostgresError) -> [Rows] {
    var answers: [Rows] = []
    answers.reserveCapacity(count)
    var firstError: PostgresError?
    var nextPrepare = 0
    for index in 0..<count {
      if nextPrepare < preparedHere.count, preparedHere[nextPrepare] == index {
        nextPrepare += 1
        let done = try receiveOne(index, &firstError, on: handle)
        prepares[index]?.state = done == nil ? .unknown : .ready
      }
      if let rows = try receiveOne(index, &firstError, on: handle) { answers.append(rows) }
    }
    try receiveSync(on: handle)
    guard PQexitPipelineMode(handle) == 1 else { throw lost(mayHaveSent: true) }
    if let firstError {
      let index = firstError.statementIndex ?? 0
      let isNew = preparedHere.contains(index)
      throw forgetIfStale(firstError, isNew: isNew) ? firstError.asStaleStatement : firstError
    }
    return answers
  }

  /// Reads the answer to one message, up to the NULL that ends it. It is nil if the message failed or was skipped.
  private func receiveOne(
    _ index: Int, _ firstError: inout PostgresError?, on handle: OpaquePointer
  ) throws(PostgresError) -> Rows? {
    var rows: Rows?
    guard var result = PQgetResult(handle) else {
      throw lost(mayHaveSent: true)
    }
    while true {
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY:
        rows = Rows(owning: result)
      case PGRES_PIPELINE_ABORTED:
        PQclear(result)
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH, PGRES_PIPELINE_SYNC:
        PQclear(result)
        throw closing(Self.copyHere)
      default:
        let error = error(of: result, statementIndex: index)
        PQclear(result)
        rows = nil
        if firstError == nil { firstError = error }
        if error.connectionLost { throw error }
      }
      guard let another = PQgetResult(handle) else { return rows }
      result = another
    }
  }

  private func receiveSync(on handle: OpaquePointer) throws(PostgresError) {
    guard let result = PQgetResult(handle) else { throw lost(mayHaveSent: true) }
    defer { PQclear(result) }
    switch PQresultStatus(result) {
    case PGRES_PIPELINE_SYNC: return
    case PGRES_FATAL_ERROR: throw error(of: result)
    default:
      failed = true
      throw .protocolViolation("the pipeline did not end")
    }
  }

  /// Forgets all prepared statements if they are unusable, so that a second attempt prepares them under new names. That
  /// is so if DISCARD dropped them (26000), other statements have their names (42P05), or DDL changed what one of them
  /// returns (0A000).
  ///
  /// - Parameter isNew: Whether this batch prepared the statement that failed.
  /// - Returns: Whether the statements were forgotten.
  private func forgetIfStale(_ error: PostgresError, isNew: Bool) -> Bool {
    guard !isPooled else { return false }
    switch error.sqlstate {
    case "26000" where !isNew: lostSettings = true
    case "0A000" where !isNew: break
    case "42P05" where isNew: break
    default: return false
    }
    prepared.removeAll()
    preparedGeneration += 1
    return true
  }
}

func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}
