import Glibc
public import JSON
public import Ledger
public import Postgres

/// Who asks, and under which key: the same key records once, however often it is asked.
public struct CommandKey: Sendable {
  public var id: StreamID
  public var actor: String
  /// SHA-256 of the request, where the key came from outside: the same key with another request is
  /// refused.
  public var digest: [UInt8]?

  public init(id: StreamID, actor: String, digest: [UInt8]? = nil) {
    self.id = id
    self.actor = actor
    self.digest = digest
  }
}

/// What a command came to.
public struct Committed: Sendable {
  /// Nil where there was nothing to record.
  public let entry: Int64?
  public let at: Instant
  public let result: JSON
  /// Whether an earlier attempt had recorded it, whose answer was lost on the way.
  public let isRepeat: Bool
}

/// One command: what it reads under locks, and what it decides.
public struct Command {
  /// Goes first, without an answer to the decision: what refuses the whole transaction.
  public var fence: (Statement, Parameters)?
  /// Reads and locks, in order; the last row lock is taken by the last of them.
  public var load: [(Statement, Parameters)]
  /// Draws the entry's number and clock, after the locks: `entry, recorded_at`, or no row where
  /// there is nothing to do.
  public var draw: (Statement, Parameters)
  /// Decides over what was read. Throws to record nothing.
  public var decide: ([Rows], inout Draft) throws(OpsError) -> JSON
  /// What it does where another transaction holds a lock that it needs.
  public var lockWait = LockWait.patient
  /// In the same transaction, after events and rows are written.
  public var afterwards: [(Statement, Parameters)] = []

  public init(
    load: [(Statement, Parameters)], draw: (Statement, Parameters)? = nil,
    decide: @escaping ([Rows], inout Draft) throws(OpsError) -> JSON
  ) {
    self.load = load
    self.draw = draw ?? (Command.alwaysDraw, Parameters())
    self.decide = decide
  }

  public enum LockWait: Sendable {
    /// Waits for as long as `lock_timeout` says, and is tried again.
    case patient
    /// Waits for as long as `lock_timeout` says.
    case once
    /// Waits half a second: a lock that somebody holds on one row delays the others no longer.
    case brief
  }

  /// First in a transaction that waits for no lock longer than ``LockWait/brief`` says.
  public static let briefly = (Statement("SET LOCAL lock_timeout = '500ms'"), Parameters())
  static let alwaysDraw = Statement("SELECT entry, recorded_at FROM ledger.draw()")

  /// What begins its transaction, and answers nothing.
  fileprivate var first: [(Statement, Parameters)] {
    [(.begin, Parameters())] + (lockWait == .brief ? [Self.briefly] : [])
      + (fence.map { [$0] } ?? [])
  }
}

extension Session {
  /// Performs a command in two round trips: locks, reads and the draw; then the key, the events, the
  /// rows and COMMIT.
  ///
  /// A lost race (serialization failure, deadlock, a unique key) is tried again from the start; a key
  /// that is taken or missing still after some attempts is an error. A COMMIT whose
  /// answer never came is settled by the command's key.
  ///
  /// - Parameter afterLostRace: What is tried from the second time on, where the command goes by rows
  ///   that were read before it: they may be out of date.
  /// - Throws: What `decide` throws; `OPS_012` where the races never end or the key was used for
  ///   another request; `OPS_001` where the database stays out of reach.
  public func perform(
    _ key: CommandKey, _ command: Command, afterLostRace other: Command? = nil
  ) throws(OpsError) -> Committed {
    var next = command
    return try retrying(key, waitsForLocks: command.lockWait == .patient) { () throws(Failure) in
      defer { next = other ?? command }
      return try once(key, next)
    }
  }

  /// Tries until it is decided, one way or the other.
  func retrying(
    _ key: CommandKey, waitsForLocks: Bool = true, _ once: () throws(Failure) -> Committed
  ) throws(OpsError) -> Committed {
    var doubt: Doubt?
    var (keysLost, endings) = (0, 0)
    var last = OpsError(.conflict, "not tried")
    attempts: for attempt in 0..<attemptsMax {
      if attempt > 0 { pause(attempt) }
      do throws(OpsError) {
        if let settled = try settle(key, &doubt) { return settled }
        guard endings < Self.endingsMax else { throw .endsItsSession(last) }
        switch Result(catching: once) {
        case .success(let committed):
          // What an answer was lost of may be why there was nothing left to do.
          if committed.entry == nil, let settled = try settle(key, &doubt) { return settled }
          return committed
        case .failure(.refused(let refusal)):
          // Or why it is refused now.
          if let settled = try settle(key, &doubt) { return settled }
          throw refusal
        case .failure(.database(let failure, let committing)):
          last = OpsError(database: failure)
          // Of the key itself, or of a row that the same command has made before.
          if failure.isUniqueViolation, let settled = try settle(key) { return settled }
          guard failure.isWorthAnother, waitsForLocks || !failure.isLockTimeout else {
            break attempts
          }
          if failure.isOfARowsKey { keysLost += 1 }
          endings = failure.isEndOfSession ? endings + 1 : 0
          guard keysLost <= Self.keysLostMax else { break attempts }
          if failure.connectionLost, let committing { doubt = Doubt(committing) }
          if failure.lacksPartition { try addPartitions() }
        }
      } catch {
        // Also while it was being settled: the next attempt asks again.
        guard error.code == .databaseUnreachable else { throw error }
        last = error
      }
    }
    throw last
  }

  private static let keysLostMax = 3
  /// A server that is shut down takes no connection; one that does and ends each is told to by what is asked of it.
  private static let endingsMax = 5

  enum Failure: Error {
    case refused(OpsError)
    /// Who was asked to commit, where it got so far.
    case database(PostgresError, committing: Committing?)
  }

  /// The backend that was asked to commit.
  enum Committing {
    case backend(Connection.Backend)
    /// A pooler chose it. Where it comes to what was sent after that was sent again, the key refuses it.
    case unknown

    init(_ backend: Connection.Backend?) {
      self = backend.map(Committing.backend) ?? .unknown
    }
  }

  /// A backend was asked to commit and gave no answer.
  struct Doubt {
    let committing: Committing
    var hasEnded = false

    init(_ committing: Committing) { self.committing = committing }
  }

  private func once(_ key: CommandKey, _ command: Command) throws(Failure) -> Committed {
    let connection = try connected()
    var draft: Draft
    let entry: Int64
    let answers: [Rows]
    do {
      try connection.rollbackIfOpen()
      let first = command.first
      let all = try connection.pipeline(first + command.load + [command.draw])
      answers = Array(all.dropFirst(first.count))
      guard let drawn = answers.last, drawn.count == 1 else {
        try connection.query(.rollback)
        return Committed(entry: nil, at: Instant(micros: 0), result: .null, isRepeat: false)
      }
      entry = try drawn.int8(0, 0)
      draft = Draft(at: Instant(micros: try drawn.timestamptz(0, 1)), ids: .random())
    } catch {
      giveBack(connection)
      throw .database(error, committing: nil)
    }
    let result: JSON
    do {
      result = try command.decide(Array(answers.dropLast()), &draft)
    } catch {
      giveBack(connection)
      throw .refused(error)
    }
    let backend = connection.backend
    do {
      if draft.events.isEmpty {
        try connection.query(.rollback)
        return Committed(entry: nil, at: draft.at, result: result, isRepeat: false)
      }
      let header = EntryHeader(
        command: key.id, actor: key.actor, digest: key.digest, result: result.stored)
      try connection.pipeline(
        draft.writes(entry: entry, header, session: self) + command.afterwards
          + [(.commit, Parameters())])
    } catch {
      giveBack(connection)
      throw .database(error, committing: Committing(backend))
    }
    return Committed(entry: entry, at: draft.at, result: result, isRepeat: false)
  }

  func connected() throws(Failure) -> Connection {
    do { return try connection() } catch { throw .refused(error) }
  }

  /// Leaves no transaction open behind us; a connection that cannot even roll back is dropped.
  private func giveBack(_ connection: Connection) {
    do { try connection.rollbackIfOpen() } catch { drop() }
  }

  /// Finds out what became of a command whose COMMIT got no answer. First the old backend is ended,
  /// where it still is there: it may not have read yet what was sent to it, and would do it later.
  ///
  /// - Returns: What was recorded; nil where nothing was, or nothing is in doubt.
  private func settle(_ key: CommandKey, _ doubt: inout Doubt?) throws(OpsError) -> Committed? {
    guard let open = doubt else { return nil }
    if !open.hasEnded, case .backend(let backend) = open.committing {
      var parameters = Parameters()
      parameters.int4(backend.pid)
      parameters.timestamptz(microsSince1970: backend.transactionMicros)
      _ = try query(Self.endBackend, parameters)
    }
    doubt?.hasEnded = true
    return try settle(key)
  }

  /// Ends a session of our own, and waits for it. A pooler's is ended in the transaction that was ours, and in no other.
  private static let endBackend = Statement(
    """
    SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity AS a
    WHERE a.pid = $1::integer AND ($2::timestamptz IS NULL OR a.xact_start = $2::timestamptz)
      AND a.pid <> pg_backend_pid() AND a.usename = session_user
      AND a.datname = current_database()
      AND a.application_name = current_setting('application_name')
    """)

  /// Finds out what is recorded under a key: inserting it waits for whoever else does, then says which
  /// it was.
  ///
  /// - Returns: What was recorded; nil where nothing was.
  /// - Throws: `OPS_012` where the key stands for another request.
  func settle(_ key: CommandKey) throws(OpsError) -> Committed? {
    let connection = try connection()
    defer { giveBack(connection) }
    do throws(PostgresError) {
      var parameters = Parameters()
      parameters.uuid(key.id)
      if try isFree(parameters, on: connection) { return nil }
      let found = try connection.query(Self.findKey, parameters)
      guard found.count == 1 else { return nil }
      guard try found.bool(0, 4) else { throw .keyUnknown }
      if let digest = key.digest, let recorded = try found.byteaIfPresent(0, 2) {
        guard digest == recorded else { throw .keyReused }
      }
      let result = try found.jsonIfPresent(0, 1).flatMap { try? JSON(parsing: $0) }
      return Committed(
        entry: try found.int8(0, 0), at: Instant(micros: try found.timestamptz(0, 3)),
        result: result ?? .null, isRepeat: true)
    } catch {
      guard error.kind == .usage else { throw OpsError(database: error) }
      throw error.message == PostgresError.keyUnknown.message ? .keyUnknown(key) : .keyReused(key)
    }
  }

  private func isFree(
    _ key: Parameters, on connection: Connection
  ) throws(PostgresError) -> Bool {
    do throws(PostgresError) {
      try connection.pipeline([(.begin, Parameters()), (Self.claimKey, key)])
      return true
    } catch {
      guard error.isUniqueViolation else { throw error }
      try connection.rollbackIfOpen()
      return false
    }
  }

  static let claimKey = Statement(
    """
    INSERT INTO ledger.commands (command, entry, events) VALUES ($1::uuid, 0, 0)
    """)
  static let findKey = Statement(
    """
    SELECT c.entry, c.result, c.digest, c.recorded_at,
      EXISTS (SELECT FROM ledger.events AS e WHERE e.entry = c.entry AND e.command = c.command)
        OR EXISTS (SELECT FROM ledger.believed_departed() AS d WHERE d.last >= c.entry)
    FROM ledger.commands AS c WHERE c.command = $1::uuid
    """)

  /// Makes partitions ahead of need.
  public func addPartitions() throws(OpsError) {
    _ = try query(Statement("SELECT ledger.add_partitions()"))
  }
}

extension PostgresError {
  fileprivate static let keyReused = PostgresError.usage("a command key stands for two requests")
  fileprivate static let keyUnknown = PostgresError.usage("the log has no command of this key")

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
  fileprivate static func keyUnknown(_ key: CommandKey) -> OpsError {
    OpsError(
      .inconsistentRow,
      "ledger.commands has the key \(key.id), and the log no such command; nothing was recorded",
      hint: "see `opsledger verify`; `opsledger rebuild` takes the key off",
      facts: ["command": key.id.description])
  }

  fileprivate static func endsItsSession(_ error: OpsError) -> OpsError {
    OpsError(
      .conflict, "the database ends the session each time that this is recorded: \(error.message)",
      hint: "look for a trigger on the tables that calls pg_terminate_backend", facts: error.facts)
  }

  static func keyReused(_ key: CommandKey) -> OpsError {
    OpsError(
      .conflict, "the key \(key.id) was used for another request",
      hint: "a new request wants a new key", facts: ["command": key.id.description])
  }
}

extension JSON {
  /// As the command's key keeps it: null is no result.
  var stored: String? { self == .null ? nil : text }
}

extension Session {
  /// Waits a little, longer each time and never as long as the others do.
  func pause(_ attempt: Int) {
    let ceiling = UInt32(min(2000 << attempt, 400_000))
    usleep(UInt32.random(in: 500...ceiling))
  }
}
