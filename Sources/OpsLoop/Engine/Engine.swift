import JSON
public import Ledger
public import Log
import Postgres

/// What people, heartbeats and workers ask of the ledger, on one connection.
///
/// It is owned by one thread or task at a time.
public final class Engine {
  public let session: Session
  public let settings: LoopSettings
  public let actor: String
  let cache = PolicyCache()
  var quarantined = QuarantinedRows()
  /// Whether a batch could not hold all rows that it found; whoever asks sets it back.
  var hasLeftSome = false
  /// The task that it has now: what it does is refused once that is another's.
  var taskLease: TaskLease?
  /// The request that it serves, where one came under a key from outside.
  public var request: IdempotencyKey?

  public init(_ session: Session, actor: String, settings: LoopSettings = LoopSettings()) {
    self.session = session
    self.actor = actor
    self.settings = settings
    session.preferIndexes()
  }

  /// Performs what a person or program asked for: once, where the request came under a key.
  func answer<Answer: RecordedAnswer>(
    _ command: Command<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    guard let request else { return try perform(command) }
    return try avoidingTakenKeys(command) { (command, _) throws(OpsError) in
      try self.session.performOnce(request, command)
    }
  }

  /// The same by the policies.
  func answer<Answer: RecordedAnswer>(
    by make: (Policies) throws(OpsError) -> Command<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    try byPolicies(make) { (command, _) throws(OpsError) in try self.answer(command) }
  }

  func perform<Answer>(
    _ command: Command<Answer>, afterLostRace other: Command<Answer>? = nil
  ) throws(OpsError) -> Committed<Answer> {
    let key = CommandKey(id: newCommandID(), actor: actor)
    return try avoidingTakenKeys(command, other) { (command, other) throws(OpsError) in
      try self.session.perform(key, command, afterLostRace: other)
    }
  }

  /// Performs a command that is made by the policies.
  ///
  /// - Parameter afterLostRace: See ``Session/perform(_:_:afterLostRace:)``.
  func perform<Answer>(
    by make: (Policies) throws(OpsError) -> Command<Answer>,
    afterLostRace other: ((Policies) throws(OpsError) -> Command<Answer>)? = nil
  ) throws(OpsError) -> Committed<Answer> {
    try byPolicies(make, other) { (command, other) throws(OpsError) in
      try self.perform(command, afterLostRace: other)
    }
  }

  private typealias Performing<Answer> =
    (Command<Answer>, Command<Answer>?) throws(OpsError) -> Committed<Answer>

  /// Where a row's key is taken: once more, with keys that nobody can guess.
  private func avoidingTakenKeys<Answer>(
    _ command: Command<Answer>, _ other: Command<Answer>? = nil, _ perform: Performing<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    var (command, other) = (command, other)
    command.fence = taskLease?.fence
    other?.fence = taskLease?.fence
    do throws(OpsError) { return try perform(command, other) } catch {
      guard error.isOfATakenKey else { throw error }
    }
    var guarded = other ?? command
    let decide = guarded.decide
    guarded.decide = { (found, draft) throws(OpsError) in
      draft.avoidsTakenKeys = true
      return try decide(found, &draft)
    }
    return try perform(guarded, nil)
  }

  /// The policies are those that this engine last read. They are read with the command's rows; where they have changed,
  /// the command is made anew by what they are.
  private func byPolicies<Answer>(
    _ make: (Policies) throws(OpsError) -> Command<Answer>,
    _ other: ((Policies) throws(OpsError) -> Command<Answer>)? = nil, _ perform: Performing<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    if !cache.isFilled { _ = try policies() }
    for _ in 0..<Self.policyChangesMax {
      try settlePolicies()
      let policies = cache.policies
      let command = deciding(try make(policies))
      let later: Command<Answer>? =
        if let other { deciding(try other(policies)) } else { nil }
      do throws(OpsError) { return try perform(command, later) } catch {
        guard error == .policiesChanged else { throw error }
      }
    }
    throw .policiesChanged
  }

  /// The command with one read more, which tells whether the policies are still what it was made by.
  private func deciding<Answer>(_ command: Command<Answer>) -> Command<Answer> {
    var command = command
    let (statement, parameters) = cache.request
    let cache = cache
    let isNew = command.reads.add(statement, parameters) { (rows) throws(OpsError) in
      try cache.take(rows)
    }
    let decide = command.decide
    command.decide = { (found, draft) throws(OpsError) in
      if try found[isNew] { throw .policiesChanged }
      return try decide(found, &draft)
    }
    return command
  }

  private static let policyChangesMax = 10

  /// How long a lease is, in seconds: the worker's own word, else the policy's, else the setting.
  var leaseSeconds: Double {
    settings.ownLeaseSeconds
      ?? cache.policies.worker.value?.leaseMinutes.map { $0 * 60 } ?? settings.leaseSeconds
  }

  /// The policies as they now are.
  public func policies() throws(OpsError) -> Policies {
    let (statement, parameters) = cache.request
    _ = try cache.take(try session.readBack(statement, parameters))
    try settlePolicies()
    return cache.policies
  }
}

/// The engine's policies as it last read them, so that they are sent and parsed only when they
/// change. What tells a change is the row's transaction, since a hand may leave the version alone.
final class PolicyCache {
  var policies = Policies()
  /// Whether they were ever read.
  private(set) var isFilled = false
  private var tokens: [String: String] = [:]
  private var absent: Set<String> = []
  /// Conditions that the server took for SQL/JSON paths.
  var goodConditions: Set<String> = []
  /// For which state of a policy the history was asked for a valid version already.
  var askedHistoryFor: [String: String] = [:]

  func token(of key: String) -> String { tokens[key] ?? "absent" }

  static let statement = Statement(
    """
    SELECT k.key, p.version, p.xmin::text,
      CASE WHEN p.xmin::text IS DISTINCT FROM k.token THEN p.value END
    FROM unnest($1::text[], $2::text[]) AS k(key, token) LEFT JOIN public.ops_policy AS p USING (key)
    """)

  /// Asks for what changed.
  var request: (Statement, Parameters) {
    var keys = ArrayBuilder(.text)
    var known = ArrayBuilder(.text)
    for key in Policies.keys {
      keys.text(key)
      known.text(tokens[key])
    }
    var parameters = Parameters()
    parameters.array(keys)
    parameters.array(known)
    return (Self.statement, parameters)
  }

  /// Takes in the answer.
  ///
  /// - Returns: Whether anything is new.
  func take(_ rows: Rows) throws(OpsError) -> Bool {
    var isNew = false
    isFilled = true
    do throws(PostgresError) {
      for row in 0..<rows.count {
        let key = try rows.text(row, 0)
        guard let token = try rows.textIfPresent(row, 2) else {
          guard absent.insert(key).inserted else { continue }
          isNew = true
          tokens[key] = nil
          policies.forget(key: key)
          continue
        }
        absent.remove(key)
        guard let text = try rows.jsonbIfPresent(row, 3) else { continue }
        isNew = true
        tokens[key] = token
        policies.read(
          key: key, version: try rows.int4(row, 1), value: (try? JSON(parsing: text)) ?? .null)
      }
    } catch {
      throw OpsError(database: error)
    }
    return isNew
  }
}

extension OpsError {
  /// Internal: a command was prepared with policies that are not those it then read.
  static let policiesChanged = OpsError(
    .conflict, "the policies changed meanwhile, each time", hint: "try again")
}
