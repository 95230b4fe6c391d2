import JSON
public import Ledger
public import Log
import Postgres

/// A policy stops the loop: whoever may edit the row may stop it, and the policy's history shows who did.
extension Engine {
  /// Halts or resumes the loop.
  ///
  /// - Returns: Whether the policy changed.
  public func setLoop(_ state: LoopState.State, why: String?) throws(OpsError) -> Bool {
    let changed = try editPolicy(LoopState.key, why: why) { (value) throws(OpsError) in
      if let value, let loop = try? LoopState(value), loop.state == state { return nil }
      var members: [String: JSON] = ["state": .string(state.rawValue)]
      if let why { members["why"] = .string(why) }
      return .object(members)
    }
    if changed, state == .running { wake() }
    return changed
  }

  /// Pauses or resumes an executor. Its running steps finish.
  ///
  /// - Returns: Whether the policy changed.
  /// - Throws: `OPS_005` if there is no such executor.
  public func pauseExecutor(
    _ name: String, _ isPaused: Bool, why: String?
  ) throws(OpsError) -> Bool {
    guard Executors.names.contains(name) else {
      throw OpsError(
        .executorNotFound, "there is no executor \(name)",
        hint: "the executors are " + Executors.names.sorted().joined(separator: ", "),
        facts: ["executor": name])
    }
    // If the row is missing or invalid, its last valid version applies.
    let last = try lastValid(WorkerPolicy.self)?.json
    let changed = try editPolicy(WorkerPolicy.key, why: why) { (value) throws(OpsError) in
      let current = value.flatMap { (try? WorkerPolicy($0)) == nil ? nil : $0 } ?? last
      var members = current?.objectValue ?? [:]
      var blocked = try WorkerPolicy(.object(members)).blockedExecutors
      let wasPaused = blocked.contains(name)
      if wasPaused == isPaused { return nil }
      if isPaused { blocked.insert(name) } else { blocked.remove(name) }
      members["blocked_executors"] = .array(blocked.sorted().map(JSON.string))
      return .object(members)
    }
    if changed, !isPaused { wake() }
    return changed
  }

  /// Edits a policy under its lock.
  ///
  /// - Parameter edit: Returns the new value; nil if the policy stays as it is.
  /// - Returns: Whether the policy changed.
  private func editPolicy(
    _ key: String, why: String?, _ edit: (JSON?) throws(OpsError) -> JSON?
  ) throws(OpsError) -> Bool {
    return try withoutActuallyEscaping(edit) { (edit) throws(OpsError) in
      var reads = Reads()
      let locked = LockedPolicies([key], in: &reads)
      let command = Command(reads) { (found, draft) throws(OpsError) in
        let stream = StreamID.policy(key)
        try locked.load(found, into: &draft)
        let current = draft.row(stream, of: Policy.self).flatMap { try? JSON(parsing: $0.value) }
        guard let value = try edit(current) else { return false }
        try Policies.check(key: key, value: value)
        draft.append(
          .set(key: key, value: value.text, rollbackTo: nil, why: why), of: Policy.self,
          to: stream)
        return true
      }
      return try answer(command).answer
    }
  }
}

/// The status of an executor.
public struct ExecutorStatus: Equatable, Sendable {
  public enum State: Equatable, Sendable {
    case running
    case paused(by: String?, since: Instant?, why: String?)
    /// Not in `allowed_executors` of policy worker_policy.
    case notAllowed
    /// The policy is invalid, so nothing runs.
    case unknown(String)
  }

  public var name: String
  public var summary: String
  public var state: State
  public var queued = 0
  public var running = 0
}

extension Engine {
  private static let load = Statement(
    """
    SELECT coalesce(executor, kind), count(*) FILTER (WHERE status = 'queued'),
      count(*) FILTER (WHERE status = 'running')
    FROM public.ops_mission_steps WHERE status IN ('queued', 'running') GROUP BY 1
    """)

  public func executors() throws(OpsError) -> [ExecutorStatus] {
    let policy = try policies().worker
    let rows = try session.query(Self.load)
    let counts = try rows.dictionary { (row) throws(PostgresError) in
      (try rows.text(row, 0), (Int(try rows.int8(row, 1)), Int(try rows.int8(row, 2))))
    }
    let executors = Executors.all.sorted { $0.name < $1.name }
    return try executors.map { (executor) throws(OpsError) in
      let (queued, running) = counts[executor.name] ?? (0, 0)
      return ExecutorStatus(
        name: executor.name, summary: executor.summary, state: try state(of: executor.name, policy),
        queued: queued, running: running)
    }
  }

  private func state(
    of name: String, _ policy: Policies.Reading<WorkerPolicy>
  ) throws(OpsError) -> ExecutorStatus.State {
    if let error = policy.error { return .unknown(error.message) }
    guard let policy = policy.value else { return .running }
    if policy.allowedExecutors?.contains(name) == false { return .notAllowed }
    guard policy.blockedExecutors.contains(name) else { return .running }
    let pause = try pause(of: name)
    return .paused(by: pause?.actor, since: pause?.at, why: pause?.why)
  }

  /// The version of the policy that paused an executor.
  public func pause(of name: String) throws(OpsError) -> PolicyVersion? {
    var since: PolicyVersion?
    for version in try session.policyHistory(WorkerPolicy.key, limit: 1000) {
      let value = version.value.flatMap { try? JSON(parsing: $0) }
      guard let value, (try? WorkerPolicy(value))?.blockedExecutors.contains(name) == true else {
        break
      }
      since = version
    }
    return since
  }
}
