public import JSON

/// The policies and their versions, as a command read them.
///
/// A manual change can break a policy. The ledger continues, and each policy below says how it fails closed.
public struct Policies: Sendable {
  public var versions: [String: Int32] = [:]
  public var autoApprove: Reading<AutoApprove> = .absent
  public var caps: Reading<ProposalCaps> = .absent
  public var worker: Reading<WorkerPolicy> = .absent
  public var matrix: Reading<ReactionMatrix> = .absent
  public var loop: Reading<LoopState> = .absent
  public var voting: Reading<VotingPolicy> = .absent
  public var roles: Reading<AgentRoles> = .absent
  /// The faults of the present policies by key, also of those whose earlier version holds.
  public private(set) var errors: [String: OpsError] = [:]
  /// The earlier versions from the log that hold instead of broken or removed policies.
  public private(set) var heldVersions: [String: Int32] = [:]

  public init() {}

  /// The result of reading one policy.
  public enum Reading<Value: Sendable>: Sendable {
    case valid(Value)
    case broken(OpsError)
    case absent

    public var value: Value? {
      if case .valid(let value) = self { value } else { nil }
    }

    public var error: OpsError? {
      if case .broken(let error) = self { error } else { nil }
    }
  }

  /// The keys that the engine reads.
  public static let keys = [
    AutoApprove.key, ProposalCaps.key, WorkerPolicy.key, ReactionMatrix.key, LoopState.key,
    VotingPolicy.key, AgentRoles.key,
  ]

  /// Adds one row of `ops_policy`.
  public mutating func read(key: String, version: Int32, value: JSON) {
    versions[key] = version
    errors[key] = nil
    heldVersions[key] = nil
    switch key {
    case AutoApprove.key: autoApprove = reading(value)
    case ProposalCaps.key: caps = reading(value)
    case WorkerPolicy.key: worker = Self.next(worker, reading(value))
    case ReactionMatrix.key: matrix = Self.next(matrix, reading(value))
    case LoopState.key: loop = reading(value)
    case VotingPolicy.key: voting = reading(value)
    case AgentRoles.key: roles = reading(value)
    case RetentionPolicy.key: _ = reading(value) as Reading<RetentionPolicy>
    default: break
    }
  }

  private mutating func reading<Value: PolicyValue>(_ value: JSON) -> Reading<Value> {
    do {
      return .valid(try Value(value))
    } catch {
      errors[Value.key] = error
      return .broken(error)
    }
  }

  /// If the matrix or the worker policy is broken, the last valid version that this process has read holds.
  private static func next<Value>(
    _ held: Reading<Value>, _ read: Reading<Value>
  ) -> Reading<Value> {
    if case .broken = read, case .valid = held { held } else { read }
  }

  /// Sets an earlier version of the matrix, since the present one is broken.
  public mutating func hold(_ matrix: ReactionMatrix, version: Int32) {
    self.matrix = .valid(matrix)
    heldVersions[ReactionMatrix.key] = version
  }

  /// Sets an earlier version of worker_policy, since the present one is broken.
  public mutating func hold(_ worker: WorkerPolicy, version: Int32) {
    self.worker = .valid(worker)
    heldVersions[WorkerPolicy.key] = version
  }

  /// Marks the matrix as broken, which only the server can find out.
  public mutating func breakMatrix(_ error: OpsError) {
    errors[ReactionMatrix.key] = error
    matrix = .broken(error)
  }

  /// Marks a policy as removed.
  public mutating func forget(key: String) {
    versions[key] = nil
    errors[key] = OpsError(
      .policyNotFound, "there is no policy \(key)",
      hint: "`opsledger policy rollback \(key) VERSION` restores a removed policy, "
        + "`opsledger init` makes a missing one", facts: ["policy": key])
    switch key {
    case AutoApprove.key: autoApprove = .absent
    case ProposalCaps.key: caps = .absent
    case WorkerPolicy.key: worker = .absent
    case ReactionMatrix.key: matrix = .absent
    case LoopState.key: loop = .absent
    case VotingPolicy.key: voting = .absent
    case AgentRoles.key: roles = .absent
    default: break
    }
  }

  /// Nil while the loop may begin new work; otherwise the reason why it may not.
  public var halt: String? {
    switch loop {
    case .absent: "there is no policy loop"
    case .broken(let error): error.message
    case .valid(let loop): loop.state == .running ? nil : loop.why ?? "no reason given"
    }
  }

  /// Checks a value before it becomes a policy.
  ///
  /// - Throws: `OPS_008` for a pattern, `OPS_009` for auto-approval, `OPS_019` for the others.
  public static func check(key: String, value: JSON) throws(OpsError) {
    var trial = Policies()
    trial.read(key: key, version: 1, value: value)
    if let error = trial.errors[key] { throw error }
  }

  /// The versions of the policies that decide a proposal, and the number of reactions that led to it. Its row keeps
  /// both.
  public func snapshot(depth: Int = 0) -> String {
    // In the order of ``JSON/text``.
    var out = JSONObjectWriter(reservingBytes: 96)
    for key in [AutoApprove.key, ProposalCaps.key, VotingPolicy.key] {
      if let version = versions[key] { out.int(key, version) }
    }
    if depth > 1 { out.int("causation_depth", depth) }
    return out.finish()
  }
}

/// The checked value of a policy.
public protocol PolicyValue: Sendable {
  static var key: String { get }

  init(_ value: JSON) throws(OpsError)
}

/// Risk, from least to most.
public enum Risk: String, CaseIterable, Comparable, Sendable {
  case low, medium, high

  private var rank: Int {
    switch self {
    case .low: 0
    case .medium: 1
    case .high: 2
    }
  }

  public static func < (a: Risk, b: Risk) -> Bool { a.rank < b.rank }
}

/// Policy `auto_approve`: the proposals that need no approval. If it is broken or absent, it is off.
public struct AutoApprove: PolicyValue, Equatable {
  public static let key = "auto_approve"

  public var enabled: Bool
  /// Nil allows every kind.
  public var allowedKinds: Set<String>?
  /// Nil is the list of kinds.
  public var allowedExecutors: Set<String>?
  public var riskMax: Risk?

  public init(_ value: JSON) throws(OpsError) {
    let fields = try FieldReader(Self.key, value, code: .autoApprovalFailed)
    enabled = try fields.bool("enabled") ?? false
    allowedKinds = try fields.strings("allowed_step_kinds").map(Set.init)
    allowedExecutors = try fields.strings("allowed_executors").map(Set.init)
    riskMax = try fields.label("max_risk_level", as: Risk.self)
  }

  /// The reason why a template is not auto-approved; nil if it is.
  public func autoApprovalRefusal(to template: Template) -> AutoApprovalRefusal? {
    guard enabled else {
      return AutoApprovalRefusal(rule: "auto_approve.enabled", words: "auto_approve is not enabled")
    }
    if let riskMax, template.risk > riskMax {
      return AutoApprovalRefusal(
        rule: "auto_approve.max_risk_level",
        words: "risk \(template.risk.rawValue) is above max_risk_level \(riskMax.rawValue)")
    }
    for step in template.steps {
      if let allowedKinds, !allowedKinds.contains(step.kind) {
        return AutoApprovalRefusal(
          rule: "auto_approve.allowed_step_kinds",
          words: "step kind \(step.kind) is not in allowed_step_kinds")
      }
      if let allowed = allowedExecutors ?? allowedKinds, !allowed.contains(step.executor) {
        return AutoApprovalRefusal(
          rule: "auto_approve.allowed_executors",
          words: "executor \(step.executor) is not in allowed_executors")
      }
    }
    return nil
  }
}

/// Policy `proposal_caps`: the limits of proposals for a UTC day. If it is broken or absent, they count as reached.
public struct ProposalCaps: PolicyValue, Equatable {
  public static let key = "proposal_caps"

  /// Nil for no limit.
  public var dailyMax: Int32?
  public var sourceMax: [Proposal.Source: Int32]

  public init(_ value: JSON) throws(OpsError) {
    let fields = try FieldReader(Self.key, value, code: .badInput)
    dailyMax = try fields.count("daily_limit").flatMap { $0 == 0 ? nil : $0 }
    sourceMax = [:]
    for alias in ["per_source", "per_source_limits"] {
      guard let limits = try fields.object(alias) else { continue }
      for (name, limit) in limits {
        guard let source = Proposal.Source(rawValue: name) else {
          throw fields.wrong("\(alias).\(name)", "a cap of source api, trigger, reaction or manual")
        }
        guard let max = limit.intValue, let max = Int32(exactly: max), max >= 0 else {
          throw fields.wrong("\(alias).\(name)", "a whole number of 0 or more")
        }
        sourceMax[source] = max
      }
    }
  }

  /// The cap that one more proposal of `source` would exceed.
  public func reached(
    by source: Proposal.Source, today: ProposalCounts
  ) -> (cap: Proposal.Cap, limit: Int32, count: Int32)? {
    // The count may stop at the limit.
    if let dailyMax, today.total >= dailyMax { return (.daily, dailyMax, dailyMax) }
    let count = today.bySource[source] ?? 0
    if let max = sourceMax[source], count >= max { return (.source, max, count) }
    return nil
  }
}

/// The proposals of this UTC day that the caps allowed.
public struct ProposalCounts: Equatable, Sendable {
  public var total: Int32
  public var bySource: [Proposal.Source: Int32]

  public init(bySource: [Proposal.Source: Int32] = [:]) {
    self.bySource = bySource
    total = bySource.values.reduce(0, +)
  }

  public mutating func add(_ source: Proposal.Source) {
    total += 1
    bySource[source, default: 0] += 1
  }
}

/// Policy `worker_policy`: the executors that workers may run, and the number of attempts.
public struct WorkerPolicy: PolicyValue, Equatable {
  public static let key = "worker_policy"

  /// The limit of attempts; nil for the worker's own setting.
  public var attemptsMax: Int32?
  public var leaseMinutes: Double?
  public var allowedExecutors: Set<String>?
  public var blockedExecutors: Set<String>

  public init(_ value: JSON) throws(OpsError) {
    let fields = try FieldReader(Self.key, value, code: .badInput)
    attemptsMax = try fields.count("max_retries")
    leaseMinutes = try fields.positive("lease_minutes")
    allowedExecutors = try fields.strings("allowed_executors").map(Set.init)
    blockedExecutors = Set(try fields.strings("blocked_executors") ?? [])
  }
}

/// Policy `loop`: whether the loop begins new work. If it is broken or absent, the loop is halted.
public struct LoopState: PolicyValue, Equatable {
  public static let key = "loop"

  public enum State: String, CaseIterable, Sendable { case running, halted }

  public var state: State
  public var why: String?

  public init(_ value: JSON) throws(OpsError) {
    let fields = try FieldReader(Self.key, value, code: .badInput)
    guard let state = try fields.label("state", as: State.self) else {
      throw fields.wrong("state", "running or halted")
    }
    self.state = state
    why = value["why"]?.stringValue
  }
}

/// Reads the fields of a policy or of a template. Its errors name the wrong field.
struct FieldReader {
  let members: [String: JSON]
  private let error: (_ field: String, _ expected: String) -> OpsError

  init(_ members: [String: JSON], error: @escaping (String, String) -> OpsError) {
    self.members = members
    self.error = error
  }

  /// - Parameter key: A policy's key, and perhaps a part of the policy after a colon.
  init(_ key: String, _ value: JSON, code: OpsError.Code) throws(OpsError) {
    let name = String(key.prefix { $0 != ":" })
    guard let members = value.objectValue else {
      throw OpsError(
        code, "policy \(key) is not an object", hint: "see `opsledger policy get \(name)`")
    }
    self.init(members) { field, expected in
      OpsError(
        code, "policy \(key): \(field) is not \(expected)",
        hint: "see `opsledger policy get \(name)`", facts: ["policy": name, "field": field])
    }
  }

  func wrong(_ field: String, _ expected: String) -> OpsError { error(field, expected) }

  private func value(_ field: String) -> JSON? {
    members[field].flatMap { $0 == .null ? nil : $0 }
  }

  func bool(_ field: String) throws(OpsError) -> Bool? {
    guard let value = value(field) else { return nil }
    guard let truth = value.boolValue else { throw wrong(field, "true or false") }
    return truth
  }

  func whole(_ field: String, in range: ClosedRange<Int>) throws(OpsError) -> Int? {
    guard let value = value(field) else { return nil }
    guard let number = value.intValue, range.contains(number) else {
      throw wrong(field, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A whole number of 0 or more that a row can have.
  func count(_ field: String) throws(OpsError) -> Int32? {
    guard let value = value(field) else { return nil }
    guard let number = value.intValue, let count = Int32(exactly: number), count >= 0 else {
      throw wrong(field, "a whole number of 0 or more")
    }
    return count
  }

  func positive(_ field: String) throws(OpsError) -> Double? {
    guard let value = value(field) else { return nil }
    guard let number = value.doubleValue, number > 0, number < 1_000_000 else {
      throw wrong(field, "a number above 0 and below 1000000")
    }
    return number
  }

  func string(_ field: String) throws(OpsError) -> String? {
    guard let value = value(field) else { return nil }
    guard let text = value.stringValue else { throw wrong(field, "text") }
    return text
  }

  func strings(_ field: String) throws(OpsError) -> [String]? {
    guard let value = members[field] else { return nil }
    let texts = value.arrayValue?.map(\.stringValue)
    guard let texts, !texts.contains(nil) else { throw wrong(field, "a list of texts") }
    return texts.compactMap { $0 }
  }

  func object(_ field: String) throws(OpsError) -> [String: JSON]? {
    guard let value = value(field) else { return nil }
    guard let object = value.objectValue else { throw wrong(field, "an object") }
    return object
  }

  func label<Label: RawRepresentable<String> & CaseIterable>(
    _ field: String, as type: Label.Type
  ) throws(OpsError) -> Label? {
    guard let value = value(field) else { return nil }
    guard let text = value.stringValue, let label = Label(rawValue: text) else {
      throw wrong(field, "one of " + Label.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return label
  }
}
