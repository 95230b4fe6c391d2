import JSON
public import Ledger
public import Log
import Postgres

/// Stopping is policy: who may edit the row may stop the loop, and history shows who did.
extension Engine {
  /// Halts the loop, or lets it go on.
  ///
  /// - Returns: Whether that changed anything.
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

  /// Pauses an executor, or lets it go on; its running steps finish.
  ///
  /// - Returns: Whether that changed anything.
  /// - Throws: `OPS_005` for an executor that nobody has.
  public func pauseExecutor(
    _ name: String, _ isPaused: Bool, why: String?
  ) throws(OpsError) -> Bool {
    guard Executors.names.contains(name) else {
      throw OpsError(
        .executorNotFound, "there is no executor \(name)",
        hint: "known: " + Executors.names.sorted().joined(separator: ", "),
        facts: ["executor": name])
    }
    // Where the row is gone, or cannot be read, its last valid version is in force.
    let last = try lastValid(WorkerPolicy.self, of: WorkerPolicy.key)?.json
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

  /// Changes a policy by what it is, under its lock.
  ///
  /// - Parameter edit: Gives the new value, or nil where it stays as it is.
  /// - Returns: Whether it changed.
  func editPolicy(
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

/// An executor as people see it.
public struct ExecutorStatus: Equatable, Sendable {
  public enum State: Equatable, Sendable {
    case running
    case paused(by: String?, since: Instant?, why: String?)
    /// Not in `allowed_executors` of policy worker_policy.
    case notAllowed
    /// The policy cannot be read, so nothing runs.
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

  /// Every executor, what it does, whether it may run, and how much it has to do.
  public func executors() throws(OpsError) -> [ExecutorStatus] {
    let policy = try policies().worker
    let rows = try session.query(Self.load)
    var counts: [String: (Int, Int)] = [:]
    try onRow { () throws(PostgresError) in
      for row in 0..<rows.count {
        counts[try rows.text(row, 0)] = (Int(try rows.int8(row, 1)), Int(try rows.int8(row, 2)))
      }
    }
    var executors: [ExecutorStatus] = []
    for executor in Executors.all.sorted(by: { $0.name < $1.name }) {
      let (queued, running) = counts[executor.name] ?? (0, 0)
      executors.append(
        ExecutorStatus(
          name: executor.name, summary: executor.summary,
          state: try state(of: executor.name, policy),
          queued: queued, running: running))
    }
    return executors
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

  /// The version of the policy since which an executor is blocked without a break.
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
