import Crypto
import Glibc
public import JSON
public import Ledger
import Postgres

/// An answer that can be stored with an idempotency key.
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
  /// Performs a command in two round trips: locks, reads and the entry's allocation; then events, rows and COMMIT.
  ///
  /// After a lost race (serialization failure, deadlock, unique key) it begins again. A key of a row that is still
  /// taken or missing after some attempts is an error. If the answer to COMMIT never arrives, the log resolves it.
  ///
  /// - Parameter afterLostRace: The command for the second attempt and later ones, if `command` relies on rows that
  ///   were read before it: they may be outdated.
  /// - Throws: What `decide` throws; `OPS_012` if every attempt lost a race; `OPS_001` without a database.
  public func perform<Answer>(
    _ key: CommandKey, _ command: Command<Answer>, afterLostRace other: Command<Answer>? = nil
  ) throws(OpsError) -> Committed<Answer> {
    var next = command
    return try retrying(waitsForLocks: command.lockWait == .patient) {
      defer { next = other ?? command }
      return once(key, next, on: $0)
    }
  }

  /// Performs a command once for its idempotency key: a repeated request gets the same answer.
  ///
  /// - Throws: Like ``perform(_:_:afterLostRace:)``; `OPS_012` if the key was used for another request.
  public func performOnce<Answer: RecordedAnswer>(
    _ key: IdempotencyKey, _ command: Command<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    if let known: Committed<Answer> = try recorded(key) { return known }
    do throws(OpsError) {
      return try retrying(waitsForLocks: command.lockWait == .patient) {
        once(key.command, command, on: $0) { (answer, entry, at) in
          (Self.insertKey, Self.parameters(of: key, entry, at, answer.recorded))
        }
      }
    } catch {
      // The same request may have run at the same time, and been first.
      if let known: Committed<Answer> = try recorded(key) { return known }
      throw error
    }
  }

  enum Attempt<Answer> {
    case committed(Committed<Answer>)
    case refused(OpsError)
    /// With a doubt if the server was asked to commit: it may have committed.
    case failed(PostgresError, Doubt<Answer>?)
  }

  /// A COMMIT whose answer may be missing.
  struct Doubt<Answer> {
    /// The server process that was asked; nil behind a pooler, which hides it. If that process commits after a second
    /// attempt has, the version of a stream refuses one of the two.
    let backend: Connection.Backend?
    /// Looks in the log for what was recorded.
    let find: (Session) throws(OpsError) -> Committed<Answer>?
    var hasEnded = false
  }

  /// Runs attempts until one commits or is refused, or no attempt is left.
  func retrying<Answer>(
    waitsForLocks: Bool = true, _ once: (Connection) -> Attempt<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    var doubt: Doubt<Answer>?
    var (keysLost, endings) = (0, 0)
    var last = OpsError(.conflict, "nothing was recorded: no attempt was made")
    attempts: for attempt in 0..<attemptsMax {
      if attempt > 0 { pause(attempt) }
      do throws(OpsError) {
        if let known = try resolve(&doubt) { return known }
        guard endings < endingsMax else { throw .endsItsSession(last) }
        switch once(try connection()) {
        case .committed(let committed):
          // An attempt whose answer was lost may have done all that there was to do.
          if committed.entry == nil, let known = try resolve(&doubt) { return known }
          return committed
        case .refused(let refusal):
          // Such an attempt may also be the reason for the refusal.
          if let known = try resolve(&doubt) { return known }
          throw refusal
        case .failed(let failure, let open):
          last = OpsError(database: failure)
          // The row or event that is in the way may be this command's own.
          if failure.isUniqueViolation {
            if let known = try resolve(&doubt) { return known }
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
        // Resolving a doubt can fail, too: the next attempt asks again.
        guard error.code == .databaseUnreachable else { throw error }
        last = error
        endings = 0
      }
    }
    throw last
  }

  private func once<Answer>(
    _ key: CommandKey, _ command: Command<Answer>, on connection: Connection,
    recording: ((Answer, _ entry: Int64, _ at: Instant) -> (Statement, Parameters))? = nil
  ) -> Attempt<Answer> {
    let allocated: Allocated?
    do { allocated = try read(command, on: connection) } catch {
      endTransaction(connection)
      return .failed(error, nil)
    }
    guard var allocated else {
      guard let idle = command.allocation.idle else {
        return .failed(.protocolViolation("ledger.allocate_entry() allocated no entry"), nil)
      }
      return .committed(Committed(entry: nil, at: Instant(micros: 0), answer: idle))
    }
    let answer: Answer
    do { answer = try command.decide(allocated.found, &allocated.draft) } catch {
      endTransaction(connection)
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
      endTransaction(connection)
      let entry = allocated.entry
      return .failed(
        error,
        Doubt(backend: backend) { (session) throws(OpsError) in
          try session.hasEntry(entry, of: key) ? committed : nil
        })
    }
    return .committed(committed)
  }

  /// An allocated entry, and what the reads before it found.
  private struct Allocated {
    let entry: Int64
    let found: Found
    var draft: Draft
  }

  /// - Returns: Nil if no entry was allocated.
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

  /// Ends an open transaction. A connection that cannot roll back is closed.
  private func endTransaction(_ connection: Connection) {
    do { try connection.rollbackIfOpen() } catch { drop() }
  }

  /// Looks in the log whether a command was recorded whose COMMIT got no answer. Before that it ends the old server
  /// process, which could otherwise still read the COMMIT and run it later.
  ///
  /// - Returns: What was recorded; nil if nothing was, or nothing is in doubt.
  private func resolve<Answer>(
    _ doubt: inout Doubt<Answer>?
  ) throws(OpsError) -> Committed<Answer>? {
    guard let open = doubt else { return nil }
    if !open.hasEnded, let backend = open.backend {
      var parameters = Parameters()
      parameters.int4(backend.pid)
      parameters.timestamptz(microsSince1970: backend.transactionMicros)
      guard try boolean(endBackend, parameters) else {
        throw OpsError(
          .databaseUnreachable,
          "server process \(backend.pid) did not answer a COMMIT, and does not end",
          hint:
            "the command may still be recorded; see `opsledger log tail` when the process has ended"
        )
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

  /// What is recorded under an idempotency key.
  ///
  /// - Returns: Nil if nothing is.
  /// - Throws: `OPS_012` if the key was used for another request.
  private func recorded<Answer: RecordedAnswer>(
    _ key: IdempotencyKey
  ) throws(OpsError) -> Committed<Answer>? {
    let rows = try readBack(findKey, Parameters(key.command.id))
    if rows.isEmpty { return nil }
    let (entry, at, digest, result, isKnown) = try onDatabase { () throws(PostgresError) in
      (
        try rows.int8(0, 0), Instant(micros: try rows.timestamptz(0, 3)),
        try rows.byteaIfPresent(0, 2), try rows.jsonIfPresent(0, 1), try rows.bool(0, 4)
      )
    }
    let facts = ["key": key.key.description]
    guard isKnown else {
      throw OpsError(
        .inconsistentRow,
        "ledger.idempotency_keys has the key \(key.key), but the log has no such command; nothing was recorded",
        hint: "see `opsledger verify`; `opsledger rebuild` removes the key", facts: facts)
    }
    if let digest, digest != key.digest.bytes {
      throw OpsError(
        .conflict, "the key \(key.key) was used for another request",
        hint: "use a new key for a new request", facts: facts)
    }
    guard let json = result.flatMap({ try? JSON(parsing: $0) }),
      let answer = Answer(recorded: json)
    else {
      // The entry came back from a store, and a store keeps no answers.
      throw OpsError(
        .conflict,
        "the key \(key.key) was used for entry \(entry), and its answer is no longer kept",
        hint: "see `opsledger log show --entry \(entry)`", facts: facts)
    }
    return Committed(entry: entry, at: at, answer: answer)
  }

  /// Runs before the other writes, so that the second of two equal requests waits for the first.
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

  /// Makes the log's next partitions before they are needed.
  public func addPartitions() throws(OpsError) {
    _ = try query(Statement("SELECT ledger.add_partitions()"))
  }
}

extension PostgresError {
  var lacksPartition: Bool {
    // The violation of a check constraint has the same state, and names the constraint.
    sqlstate == "23514" && constraint == nil && schema == "ledger" && table == "events"
  }

  /// A key of a row is taken or missing. The second attempt sees who was faster, so a key that is still in the way is
  /// no lost race. The version of an event is none of these: it can be lost to others any number of times.
  var isOfARowsKey: Bool { (isUniqueViolation || isForeignKeyViolation) && schema != "ledger" }

  /// Somebody or a trigger ended the session with `pg_terminate_backend`.
  var isEndOfSession: Bool { connectionLost && sqlstate == "57P01" }

  /// Whether another attempt may succeed: after a lost race or a lost connection.
  var isWorthAnother: Bool {
    isSerializationFailure || isDeadlock || isUniqueViolation || isForeignKeyViolation
      || isLockTimeout || lacksPartition || isStaleStatement || connectionLost || kind == .connect
  }
}

extension OpsError {
  fileprivate static func endsItsSession(_ error: OpsError) -> OpsError {
    OpsError(
      .conflict, "the database ends the session at each attempt to record this: \(error.message)",
      hint: "look for a trigger on the tables that calls pg_terminate_backend", cause: error.cause)
  }
}

extension Session {
  /// Waits a random time, up to a limit that doubles with each attempt, so that racing commands separate.
  package func pause(_ attempt: Int) {
    let ceiling = UInt32(min(2000 << attempt, 400_000))
    usleep(UInt32.random(in: 500...ceiling))
  }
}

private let keysLostMax = 3
/// A server that shuts down accepts no connection. If it accepts and ends so many, the command itself causes that.
private let endingsMax = 5

/// Ends a session of our own, and waits for its end. A pooler's session is ended only while it runs our transaction.
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
