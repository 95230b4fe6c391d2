import JSON
public import Ledger
public import Log
import Postgres

/// Runs the commands of people, heartbeats and workers on one connection. One thread uses it at a time.
public final class Engine {
  public let session: Session
  public let settings: LoopSettings
  public let actor: String
  let cache = PolicyCache()
  var quarantined = QuarantinedRows()
  /// Whether a batch had to leave rows to the next one. Callers reset it.
  var hasLeftSome = false
  /// The lease of the task that it runs. Its commands are refused once another session has the lease.
  var taskLease: TaskLease?
  /// The request with an idempotency key that it runs.
  public var request: IdempotencyKey?

  public init(_ session: Session, actor: String, settings: LoopSettings = LoopSettings()) {
    self.session = session
    self.actor = actor
    self.settings = settings
    session.preferIndexes()
  }

  /// Runs a command of a person or program: once, if the request has an idempotency key.
  func answer<Answer: RecordedAnswer>(
    _ command: Command<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    guard let request else { return try perform(command) }
    return try avoidingTakenKeys(command) { (command, _) throws(OpsError) in
      try self.session.performOnce(request, command)
    }
  }

  /// Runs such a command that depends on the policies.
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

  /// Runs a command that depends on the policies.
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

  /// Runs a command again with keys that nobody can guess, if a row has a key that the command derived.
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

  /// Makes a command from the policies that this engine read last, and reads the policies with the command's rows. If
  /// they have changed, the command is made again.
  private func byPolicies<Answer>(
    _ make: (Policies) throws(OpsError) -> Command<Answer>,
    _ other: ((Policies) throws(OpsError) -> Command<Answer>)? = nil, _ perform: Performing<Answer>
  ) throws(OpsError) -> Committed<Answer> {
    if cache.isEmpty { _ = try policies() }
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

  /// Adds a read to the command that tells whether the policies have changed.
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

  /// The seconds of a lease: the worker's own option, else the policy, else the setting.
  var leaseSeconds: Double {
    settings.ownLeaseSeconds
      ?? cache.policies.worker.value?.leaseMinutes.map { $0 * 60 } ?? settings.leaseSeconds
  }

  /// The current policies.
  public func policies() throws(OpsError) -> Policies {
    let (statement, parameters) = cache.request
    _ = try cache.take(try session.readBack(statement, parameters))
    try settlePolicies()
    return cache.policies
  }
}

/// The policies that the engine read last, so that they are sent and parsed only when they change. A change shows in
/// the row's transaction id, since a manual change may keep the version.
final class PolicyCache {
  var policies = Policies()
  private var tokens: [String: String] = [:]
  private var absent: Set<String> = []
  /// Conditions that the server accepted as SQL/JSON paths.
  var goodConditions: Set<String> = []
  /// The state of each policy for which its history was searched for a valid version.
  var askedHistoryFor: [String: String] = [:]

  var isEmpty: Bool { tokens.isEmpty && absent.isEmpty }

  func token(of key: String) -> String { tokens[key] ?? "absent" }

  static let statement = Statement(
    """
    SELECT k.key, p.version, p.xmin::text,
      CASE WHEN p.xmin::text IS DISTINCT FROM k.token THEN p.value END
    FROM unnest($1::text[], $2::text[]) AS k(key, token) LEFT JOIN public.ops_policy AS p USING (key)
    """)

  /// Reads the policies that have changed.
  var request: (Statement, Parameters) {
    var known = ArrayBuilder(.text)
    for key in Policies.keys { known.text(tokens[key]) }
    let parameters = Parameters {
      $0.texts(Policies.keys)
      $0.array(known)
    }
    return (Self.statement, parameters)
  }

  /// Stores the answer to ``request``.
  ///
  /// - Returns: Whether a policy has changed.
  func take(_ rows: Rows) throws(OpsError) -> Bool {
    var isNew = false
    try onDatabase { () throws(PostgresError) in
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
    }
    return isNew
  }
}

extension OpsError {
  /// The policies that a command read are not those that it was made from.
  static let policiesChanged = OpsError(
    .conflict, "the policies changed during each attempt of the command", hint: "try again")
}
