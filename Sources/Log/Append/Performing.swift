import Crypto
import Glibc
public import JSON
public import Ledger
import Postgres

/// An answer that a key from outside keeps: whoever asks again under the key gets it.
public protocol RecordedAnswer {
  var recorded: JSON { get }
  init?(recorded: JSON)
}

extension StreamID: RecordedAnswer {
  public var recorded: JSON { .string(description) }

  public init?(recorded: JSON) {
    guard let id = recorded.idValue else { return nil }
    self = id
  }
}

extension Session {
  /// Performs a command in two round trips: locks, reads and the draw; then the events, the rows and COMMIT.
  ///
  /// A lost race (serialization failure, deadlock, a unique key) is tried again from the start; a key
  /// that is taken or missing still after some attempts is an error. A COMMIT whose
  /// answer never came is settled by the log.
  ///
  /// - Parameter afterLostRace: What is tried from the second time on, where the command goes by rows
  ///   that were read before it: they may be out of date.
  /// - Throws: What `decide` throws; `OPS_012` where the races never end; `OPS_001` where the database stays out of
  ///   reach.
  public func perform<Answer>(
    _ key: CommandKey, _ command: Command<Answer>, afterLostRace other: Command<Answer>? = nil
  ) throws(OpsError) -> Committed<Answer> {
    var next = command
    return try retrying(waitsForLocks: command.lockWait == .patient) {
      defer { next = other ?? command }
      return once(key, next)
    }
  }

  /// Performs a command once for its key: whoever asks again gets the same answer.
  ///
  /// - Throws: As ``perform(_:_:afterLostRace:)``; `OPS_012` where the key was used for another request.
  public func performOnce<Answer: RecordedAnswer>(
    _ key: IdempotencyKey, _ command: Command<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    if let known: Committed<Answer> = try recorded(key) { return known }
    do throws(OpsError) {
      return try retrying(waitsForLocks: command.lockWait == .patient) {
        once(key.command, command) { (answer, entry, at) in
          (Self.insertKey, Self.parameters(of: key, entry, at, answer.recorded))
        }
      }
    } catch {
      // Who asked at the same time was first.
      if let known: Committed<Answer> = try recorded(key) { return known }
      throw error
    }
  }

  /// What one attempt came to.
  enum Attempt<Answer> {
    case committed(Committed<Answer>)
    case refused(OpsError)
    /// With what may be recorded all the same, where a backend was asked to commit.
    case failed(PostgresError, Doubt<Answer>?)
  }

  /// A COMMIT that may be without an answer.
  struct Doubt<Answer> {
    /// Who was asked; nil where a pooler chose. Where it comes to that after it was asked again, a stream's version
    /// refuses the second.
    let backend: Connection.Backend?
    /// What the log has of it.
    let find: (Session) throws(OpsError) -> Committed<Answer>?
    var hasEnded = false
  }

  /// Tries until it is decided, one way or the other.
  func retrying<Answer>(
    waitsForLocks: Bool = true, _ once: () -> Attempt<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    var doubt: Doubt<Answer>?
    var (keysLost, endings) = (0, 0)
    var last = OpsError(.conflict, "not tried")
    attempts: for attempt in 0..<attemptsMax {
      if attempt > 0 { pause(attempt) }
      do throws(OpsError) {
        if let settled = try settle(&doubt) { return settled }
        guard endings < endingsMax else { throw .endsItsSession(last) }
        switch once() {
        case .committed(let committed):
          // What an answer was lost of may be why there was nothing left to do.
          if committed.entry == nil, let settled = try settle(&doubt) { return settled }
          return committed
        case .refused(let refusal):
          // Or why it is refused now.
          if let settled = try settle(&doubt) { return settled }
          throw refusal
        case .failed(let failure, let open):
          last = OpsError(database: failure)
          // Of a row, or of an event's version, that the same command has made before.
          if failure.isUniqueViolation {
            if let settled = try settle(&doubt) { return settled }
            if let found = try open?.find(self) { return found }
          }
          guard failure.isWorthAnother, waitsForLocks || !failure.isLockTimeout else {
            break attempts
          }
          if failure.isOfARowsKey { keysLost += 1 }
          endings = failure.isEndOfSession ? endings + 1 : 0
          guard keysLost <= keysLostMax else { break attempts }
          if failure.connectionLost, let open { doubt = open }
          if failure.lacksPartition { try addPartitions() }
        }
      } catch {
        // Also while it was being settled: the next attempt asks again.
        guard error.code == .databaseUnreachable else { throw error }
        last = error
        endings = 0
      }
    }
    throw last
  }

  private func once<Answer>(
    _ key: CommandKey, _ command: Command<Answer>,
    recording: ((Answer, _ entry: Int64, _ at: Instant) -> (Statement, Parameters))? = nil
  ) -> Attempt<Answer> {
    let connection: Connection
    do throws(OpsError) { connection = try self.connection() } catch { return .refused(error) }
    let allocated: Allocated?
    do { allocated = try read(command, on: connection) } catch {
      giveBack(connection)
      return .failed(error, nil)
    }
    guard var allocated else {
      guard let idle = command.allocation.idle else {
        return .failed(.protocolViolation("ledger.allocate_entry() gave no entry"), nil)
      }
      return .committed(Committed(entry: nil, at: Instant(micros: 0), answer: idle))
    }
    let answer: Answer
    do { answer = try command.decide(allocated.found, &allocated.draft) } catch {
      giveBack(connection)
      return .refused(error)
    }
    let committed = Committed(
      entry: allocated.draft.events.isEmpty ? nil : allocated.entry, at: allocated.draft.at,
      answer: answer)
    let backend = connection.backend
    do {
      guard committed.entry != nil else {
        try connection.query(.rollback)
        return .committed(committed)
      }
      let recorded = recording.map { [$0(answer, allocated.entry, allocated.draft.at)] } ?? []
      try connection.pipeline(
        recorded + allocated.draft.writes(entry: allocated.entry, key, session: self)
          + command.afterwards
          + [(.commit, Parameters())])
    } catch {
      giveBack(connection)
      let entry = allocated.entry
      return .failed(
        error,
        Doubt(backend: backend) { (session) throws(OpsError) in
          try session.hasEntry(entry, of: key) ? committed : nil
        })
    }
    return .committed(committed)
  }

  /// A number and a clock, and what was found before them.
  private struct Allocated {
    let entry: Int64
    let found: Found
    var draft: Draft
  }

  /// The first round trip.
  ///
  /// - Returns: Nil where nothing was drawn.
  private func read<Answer>(
    _ command: Command<Answer>, on connection: Connection
  ) throws(PostgresError) -> Allocated? {
    try connection.rollbackIfOpen()
    let answers = try connection.pipeline(command.reading)
    guard let allocated = answers.last, allocated.count == 1 else {
      try connection.query(.rollback)
      return nil
    }
    return Allocated(
      entry: try allocated.int8(0, 0), found: command.found(answers),
      draft: Draft(at: Instant(micros: try allocated.timestamptz(0, 1)), ids: .random()))
  }

  /// Leaves no transaction open behind us; a connection that cannot even roll back is dropped.
  private func giveBack(_ connection: Connection) {
    do { try connection.rollbackIfOpen() } catch { drop() }
  }

  /// Finds out what became of a command whose COMMIT got no answer. First the old backend is ended,
  /// where it still is there: it may not have read yet what was sent to it, and would do it later.
  ///
  /// - Returns: What was recorded; nil where nothing was, or nothing is in doubt.
  private func settle<Answer>(
    _ doubt: inout Doubt<Answer>?
  ) throws(OpsError) -> Committed<Answer>? {
    guard let open = doubt else { return nil }
    if !open.hasEnded, let backend = open.backend {
      var parameters = Parameters()
      parameters.int4(backend.pid)
      parameters.timestamptz(microsSince1970: backend.transactionMicros)
      let rows = try query(endBackend, parameters)
      guard try onDatabase({ () throws(PostgresError) in try rows.bool(0, 0) }) else {
        throw OpsError(
          .databaseUnreachable,
          "server process \(backend.pid), which was asked to commit, does not end",
          hint: "whether it was recorded is known when it has; see `opsledger log tail`")
      }
    }
    doubt?.hasEnded = true
    return try open.find(self)
  }

  private func hasEntry(_ entry: Int64, of key: CommandKey) throws(OpsError) -> Bool {
    var parameters = Parameters()
    parameters.int8(entry)
    parameters.uuid(key.id)
    let rows = try readBack(isRecorded, parameters)
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  /// What is recorded under a key from outside.
  ///
  /// - Returns: Nil where nothing is.
  /// - Throws: `OPS_012` where the key stands for another request.
  private func recorded<Answer: RecordedAnswer>(
    _ key: IdempotencyKey
  ) throws(OpsError) -> Committed<Answer>? {
    var parameters = Parameters()
    parameters.uuid(key.command.id)
    let rows = try readBack(findKey, parameters)
    if rows.isEmpty { return nil }
    let (entry, at, digest, result, isKnown) = try onDatabase { () throws(PostgresError) in
      (
        try rows.int8(0, 0), Instant(micros: try rows.timestamptz(0, 3)),
        try rows.byteaIfPresent(0, 2), try rows.jsonIfPresent(0, 1), try rows.bool(0, 4)
      )
    }
    guard isKnown else { throw .keyUnknown(key) }
    if let digest, digest != key.digest.bytes { throw .keyReused(key) }
    guard let json = result.flatMap({ try? JSON(parsing: $0) }),
      let answer = Answer(recorded: json)
    else { throw .answerUnknown(key, entry) }
    return Committed(entry: entry, at: at, answer: answer)
  }

  /// Goes first, so that of two at once the second waits for the first.
  private static let insertKey = Statement(
    """
    INSERT INTO ledger.idempotency_keys (command, entry, digest, result, recorded_at)
    VALUES ($1::uuid, $2::bigint, $3::bytea, $4::json, $5::timestamptz)
    """)

  private static func parameters(
    of key: IdempotencyKey, _ entry: Int64, _ at: Instant, _ answer: JSON
  ) -> Parameters {
    var parameters = Parameters(reserving: 5)
    parameters.uuid(key.command.id)
    parameters.int8(entry)
    parameters.bytes(key.digest.bytes)
    parameters.json(answer.text)
    parameters.time(at)
    return parameters
  }

  /// Makes partitions ahead of need.
  public func addPartitions() throws(OpsError) {
    _ = try query(Statement("SELECT ledger.add_partitions()"))
  }
}

extension PostgresError {
  /// The log has no partition for the entry yet.
  var lacksPartition: Bool {
    // A check constraint that is violated is named.
    sqlstate == "23514" && constraint == nil && schema == "ledger" && table == "events"
  }

  /// A key of a row is taken or missing. Whoever was quicker is seen by the second attempt, so that one that
  /// still is was no lost race. A version of the log can be lost to others any number of times.
  var isOfARowsKey: Bool { (isUniqueViolation || isForeignKeyViolation) && schema != "ledger" }

  /// Somebody, or a trigger, ended the session by `pg_terminate_backend`.
  var isEndOfSession: Bool { connectionLost && sqlstate == "57P01" }

  /// Whether the same command may succeed when it is tried again: a lost race, a lost connection.
  var isWorthAnother: Bool {
    isSerializationFailure || isDeadlock || isUniqueViolation || isForeignKeyViolation
      || isLockTimeout || lacksPartition || isStaleStatement || connectionLost || kind == .connect
  }
}

extension OpsError {
  fileprivate static func keyUnknown(_ key: IdempotencyKey) -> OpsError {
    OpsError(
      .inconsistentRow,
      "ledger.idempotency_keys has the key \(key.key), and the log no such command; nothing was recorded",
      hint: "see `opsledger verify`; `opsledger rebuild` takes the key off",
      facts: ["key": key.key.description])
  }

  /// Of an entry that came back from a store, which keeps no answers.
  fileprivate static func answerUnknown(_ key: IdempotencyKey, _ entry: Int64) -> OpsError {
    OpsError(
      .conflict,
      "the key \(key.key) was used for entry \(entry), and its answer is not kept any more",
      hint: "see `opsledger log show \(entry)`", facts: ["key": key.key.description])
  }

  fileprivate static func endsItsSession(_ error: OpsError) -> OpsError {
    OpsError(
      .conflict, "the database ends the session each time that this is recorded: \(error.message)",
      hint: "look for a trigger on the tables that calls pg_terminate_backend", cause: error.cause)
  }

  fileprivate static func keyReused(_ key: IdempotencyKey) -> OpsError {
    OpsError(
      .conflict, "the key \(key.key) was used for another request",
      hint: "a new request wants a new key", facts: ["key": key.key.description])
  }
}

extension Session {
  /// Waits a little, longer each time and never as long as the others do.
  package func pause(_ attempt: Int) {
    let ceiling = UInt32(min(2000 << attempt, 400_000))
    usleep(UInt32.random(in: 500...ceiling))
  }
}

private let keysLostMax = 3
/// A server that is shut down takes no connection; one that does and ends each is told to by what is asked of it.
private let endingsMax = 5

/// Ends a session of our own, and waits for it. A pooler's is ended in the transaction that was ours, and in no other.
private let endBackend = Statement(
  """
  SELECT coalesce(bool_and(pg_terminate_backend(a.pid, 5000)), true) FROM pg_stat_activity AS a
  WHERE a.pid = $1::integer AND ($2::timestamptz IS NULL OR a.xact_start = $2::timestamptz)
    AND a.pid <> pg_backend_pid() AND a.usename = session_user
    AND a.datname = current_database()
    AND a.application_name = current_setting('application_name')
  """)
private let isRecorded = Statement(
  """
  SELECT EXISTS (SELECT FROM ledger.events AS e WHERE e.entry = $1::bigint AND e.command = $2::uuid)
  """)
private let findKey = Statement(
  """
  SELECT c.entry, c.result, c.digest, c.recorded_at,
    EXISTS (SELECT FROM ledger.events AS e WHERE e.entry = c.entry AND e.command = c.command)
      OR EXISTS (SELECT FROM ledger.confirmed_archived_partitions() AS d WHERE d.last >= c.entry)
  FROM ledger.idempotency_keys AS c WHERE c.command = $1::uuid
  """)
