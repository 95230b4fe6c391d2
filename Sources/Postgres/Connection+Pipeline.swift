internal import CPostgres

/// A statement as one connection knows it.
final class PreparedStatement {
  enum State { case unknown, sent, ready }

  let sql: String
  /// Name on the server, kept as a C string so that no call makes one.
  let name: UnsafeMutablePointer<CChar>
  var state = State.unknown

  init(sql: String, name: String) {
    self.sql = sql
    let bytes = name.utf8CString
    self.name = .allocate(capacity: bytes.count)
    bytes.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { self.name.initialize(from: base, count: source.count) }
    }
  }

  deinit { name.deallocate() }
}

/// The four arrays that libpq wants for each statement; kept between calls.
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

  /// `base` must stay where it is until the statement is sent.
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
  /// Sends all statements at once and reads all answers: one round trip.
  ///
  /// Without BEGIN at its start, the batch is a transaction of its own. After an error the statements
  /// that follow are skipped by the server, a COMMIT too: if the batch began a transaction, it is
  /// then left open and failed (`transactionStatus`, `rollbackIfOpen`). The connection stays
  /// usable. Both sides may fill their buffers at any size of batch: while libpq cannot send it
  /// reads, so neither waits for the other for ever.
  ///
  /// - Returns: One answer for each statement, in order.
  /// - Throws: The first failing statement's error, with its index; `.connectionLost`, after which
  ///   the outcome is unknown if `mayHaveSent`.
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
      // Of what the batch asked for nothing is done: its transaction has failed.
      guard error.isStaleStatement,
        !batch.prefix(error.statementIndex ?? 0).contains(where: { $0.0 == .commit })
      else { throw error }
      try rollbackIfOpen()
      try restoreSettings()
      return try sendAndReceive(batch)
    }
  }

  /// Behind a pooler each transaction begins with its settings, and with where it runs.
  private func withSettings(
    _ batch: [(Statement, Parameters)]
  ) throws(PostgresError) -> [Rows] {
    let begins = batch[0].0.isBegin
    var whole = begins ? batch : [(.begin, Parameters())] + batch + [(.commit, Parameters())]
    // A lock that comes before the transaction's snapshot still does.
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

  /// Nothing may fail on our side once sending has begun: what was sent before would be committed.
  private func check(_ batch: [(Statement, Parameters)]) throws(PostgresError) {
    for (statement, parameters) in batch {
      guard parameters.slots.count <= 65_535 else {
        throw .usage("\(parameters.slots.count) parameters; the protocol allows 65535")
      }
      guard parameters.wire.count < 1 << 30 else {
        throw .usage("\(parameters.wire.count) bytes of parameters; the server allows 1 GiB")
      }
      guard !isPooled || !statement.sql.utf8.contains(0) else {
        throw .usage("a zero byte in the SQL")
      }
    }
  }

  /// The types are part of the key: a statement first met with an untyped NULL must not settle
  /// what later values are.
  private func find(
    _ statement: Statement, _ parameters: Parameters
  ) throws(PostgresError) -> PreparedStatement {
    var key = statement.fingerprint
    for slot in parameters.slots { key = (key ^ UInt64(slot.type)) &* 0x100_0000_01b3 }
    if let known = prepared[key] {
      guard known.sql == statement.sql else { throw .usage("two statements of one fingerprint") }
      return known
    }
    guard !statement.sql.utf8.contains(0) else { throw .usage("a zero byte in the SQL") }
    let suffix = preparedGeneration == 0 ? "" : "_\(preparedGeneration)"
    let new = PreparedStatement(sql: statement.sql, name: "s" + hexadecimal(key) + suffix)
    prepared[key] = new
    return new
  }

  /// - Returns: Positions of the statements that were prepared with this batch, in order.
  private func send(
    _ batch: [(Statement, Parameters)], _ prepares: [PreparedStatement?], on handle: OpaquePointer
  ) throws(PostgresError) -> [Int] {
    var preparedHere: [Int] = []
    var complete = true
    for index in batch.indices {
      let slots = batch[index].1.slots
      scratch.grow(to: slots.count)
      let sent = batch[index].1.wire.bytes.withUnsafeBytes { bytes -> Bool in
        // An empty array may have no address; a value of no bytes still needs one.
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
    // Half a batch must not be committed by a sync: end the connection instead.
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

  /// Reads the answer to one message up to the NULL that ends it; nil if it failed or was skipped.
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
        failed = true
        close()
        throw .usage("COPY cannot be part of a pipeline; the connection is closed")
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
      throw .protocolViolation("expected the end of the pipeline")
    }
  }

  /// DISCARD dropped our statements (26000), somebody else's have their names (42P05), or DDL changed what one returns
  /// (0A000): they are prepared anew under other names, so that trying again works.
  ///
  /// - Parameter isNew: Whether the statement that failed was prepared with this batch.
  /// - Returns: Whether that is what happened.
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
