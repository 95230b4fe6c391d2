public import JSON

/// The policies that decide, as they stood when a command read them, with their versions.
///
/// A policy that a hand broke does not stop the ledger; each says below how it fails closed.
public struct Policies: Sendable {
  public var versions: [String: Int32] = [:]
  public var autoApprove: Reading<AutoApprove> = .absent
  public var caps: Reading<ProposalCaps> = .absent
  public var worker: Reading<WorkerPolicy> = .absent
  public var matrix: Reading<ReactionMatrix> = .absent
  public var loop: Reading<LoopState> = .absent
  public var voting: Reading<VotingPolicy> = .absent
  public var roles: Reading<AgentRoles> = .absent
  /// What is wrong with policies as they now stand, by key, also where an earlier version still holds.
  public private(set) var errors: [String: OpsError] = [:]
  /// Versions that hold in the place of policies that are broken or gone, where the log was asked for them.
  public private(set) var heldVersions: [String: Int32] = [:]

  public init() {}

  /// What reading one policy gave.
  public enum Reading<Value: Sendable>: Sendable {
    case valid(Value)
    case broken(OpsError)
    case absent

    static func of(_ type: Value.Type, _ value: JSON) -> Reading where Value: PolicyValue {
      do { return .valid(try Value(value)) } catch { return .broken(error) }
    }

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

  /// Takes in one row of `ops_policy`.
  public mutating func read(key: String, version: Int32, value: JSON) {
    versions[key] = version
    errors[key] = nil
    heldVersions[key] = nil
    do { try Self.check(key: key, value: value) } catch { errors[key] = error }
    switch key {
    case AutoApprove.key: autoApprove = .of(AutoApprove.self, value)
    case ProposalCaps.key: caps = .of(ProposalCaps.self, value)
    case WorkerPolicy.key: worker = Self.next(worker, .of(WorkerPolicy.self, value))
    case ReactionMatrix.key:
      matrix = Self.next(matrix, .of(ReactionMatrix.self, value))
    case LoopState.key: loop = .of(LoopState.self, value)
    case VotingPolicy.key: voting = .of(VotingPolicy.self, value)
    case AgentRoles.key: roles = .of(AgentRoles.self, value)
    default: break
    }
  }

  /// Matrix and worker policy stay at their last valid version, where this process has seen one.
  private static func next<Value>(
    _ held: Reading<Value>, _ read: Reading<Value>
  ) -> Reading<Value> {
    if case .broken = read, case .valid = held { held } else { read }
  }

  /// An earlier version of the matrix holds, since the present one cannot be read.
  public mutating func hold(_ matrix: ReactionMatrix, version: Int32) {
    self.matrix = .valid(matrix)
    heldVersions[ReactionMatrix.key] = version
  }

  /// The same of worker_policy.
  public mutating func hold(_ worker: WorkerPolicy, version: Int32) {
    self.worker = .valid(worker)
    heldVersions[WorkerPolicy.key] = version
  }

  /// The matrix turned out to be broken where only the server could tell.
  public mutating func breakMatrix(_ error: OpsError) {
    errors[ReactionMatrix.key] = error
    matrix = .broken(error)
  }

  /// A policy is gone.
  public mutating func forget(key: String) {
    versions[key] = nil
    errors[key] = OpsError(
      .policyNotFound, "there is no policy \(key)",
      hint: "`opsledger policy rollback \(key) VERSION` brings one back that was removed, "
        + "`opsledger init` seeds one that never was", facts: ["policy": key])
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

  /// Nil while the loop may take something new; otherwise why not.
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
    switch key {
    case AutoApprove.key: _ = try AutoApprove(value)
    case ProposalCaps.key: _ = try ProposalCaps(value)
    case WorkerPolicy.key: _ = try WorkerPolicy(value)
    case ReactionMatrix.key: _ = try ReactionMatrix(value)
    case LoopState.key: _ = try LoopState(value)
    case VotingPolicy.key: _ = try VotingPolicy(value)
    case RetentionPolicy.key: _ = try RetentionPolicy(value)
    case AgentRoles.key: _ = try AgentRoles(value)
    default: break
    }
  }

  /// The versions under which a proposal is decided, as its row keeps them, and how long a chain of
  /// reactions led to it.
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

/// What a policy's value says, once it is understood.
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

/// Policy `auto_approve`: which proposals need nobody's approval. Broken or absent, it is off.
public struct AutoApprove: PolicyValue, Equatable {
  public static let key = "auto_approve"

  public var enabled: Bool
  /// Absent: every kind.
  public var allowedKinds: Set<String>?
  /// Absent: the same list as the kinds.
  public var allowedExecutors: Set<String>?
  public var riskMax: Risk?

  public init(_ value: JSON) throws(OpsError) {
    let fields = try PolicyFields(Self.key, value, code: .autoApprovalFailed)
    enabled = try fields.bool("enabled") ?? false
    allowedKinds = try fields.strings("allowed_step_kinds").map(Set.init)
    allowedExecutors = try fields.strings("allowed_executors").map(Set.init)
    riskMax = try fields.label("max_risk_level", as: Risk.self)
  }

  /// Why a template is not approved by itself; nil where it is.
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

/// Policy `proposal_caps`: how many proposals a UTC day may bring. Broken or absent, they count as
/// reached.
public struct ProposalCaps: PolicyValue, Equatable {
  public static let key = "proposal_caps"

  /// Absent, null or 0: none.
  public var dailyMax: Int32?
  public var sourceMax: [Proposal.Source: Int32]

  public init(_ value: JSON) throws(OpsError) {
    let fields = try PolicyFields(Self.key, value, code: .badInput)
    dailyMax = try fields.count("daily_limit").flatMap { $0 == 0 ? nil : $0 }
    sourceMax = [:]
    for alias in ["per_source", "per_source_limits"] {
      guard let limits = try fields.object(alias) else { continue }
      for (name, limit) in limits {
        guard let source = Proposal.Source(rawValue: name), let max = limit.intValue,
          let max = Int32(exactly: max), max >= 0
        else { throw fields.wrong("\(alias).\(name)", "a source with a whole number of 0 or more") }
        sourceMax[source] = max
      }
    }
  }

  /// The cap that one more proposal of `source` would pass.
  public func reached(
    by source: Proposal.Source, today: ProposalCounts
  ) -> (cap: Proposal.Cap, limit: Int32, count: Int32)? {
    // Whoever counts may stop at the limit, so no more than that is said.
    if let dailyMax, today.total >= dailyMax { return (.daily, dailyMax, dailyMax) }
    let count = today.bySource[source] ?? 0
    if let max = sourceMax[source], count >= max { return (.source, max, count) }
    return nil
  }
}

/// The proposals of this UTC day that the gate let through.
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

/// Policy `worker_policy`: what workers may run, and how often they try.
public struct WorkerPolicy: PolicyValue, Equatable {
  public static let key = "worker_policy"

  /// Attempts in all; absent: the worker's own setting.
  public var attemptsMax: Int32?
  public var leaseMinutes: Double?
  public var allowedExecutors: Set<String>?
  public var blockedExecutors: Set<String>

  public init(_ value: JSON) throws(OpsError) {
    let fields = try PolicyFields(Self.key, value, code: .badInput)
    attemptsMax = try fields.count("max_retries")
    leaseMinutes = try fields.positive("lease_minutes")
    allowedExecutors = try fields.strings("allowed_executors").map(Set.init)
    blockedExecutors = Set(try fields.strings("blocked_executors") ?? [])
  }
}

/// Policy `loop`: whether the loop takes anything new. Broken or absent, it is halted.
public struct LoopState: PolicyValue, Equatable {
  public static let key = "loop"

  public enum State: String, CaseIterable, Sendable { case running, halted }

  public var state: State
  public var why: String?

  public init(_ value: JSON) throws(OpsError) {
    let fields = try PolicyFields(Self.key, value, code: .badInput)
    guard let state = try fields.label("state", as: State.self) else {
      throw fields.wrong("state", "running or halted")
    }
    self.state = state
    why = value["why"]?.stringValue
  }
}

/// Reads the fields of one policy, naming the one that is wrong.
struct PolicyFields {
  /// The policy's key, and the part of it that is read.
  let key: String
  let code: OpsError.Code
  let members: [String: JSON]

  init(_ key: String, _ value: JSON, code: OpsError.Code) throws(OpsError) {
    guard let members = value.objectValue else {
      throw OpsError(code, "policy \(key) is not an object")
    }
    self.key = key
    self.code = code
    self.members = members
  }

  func wrong(_ field: String, _ expected: String) -> OpsError {
    let name = String(key.prefix { $0 != ":" })
    return OpsError(
      code, "policy \(key): \(field) is not \(expected)",
      hint: "see `opsledger policy get \(name)`", facts: ["policy": name, "field": field])
  }

  private func value(_ field: String) -> JSON? {
    members[field].flatMap { $0 == .null ? nil : $0 }
  }

  func bool(_ field: String) throws(OpsError) -> Bool? {
    guard let value = value(field) else { return nil }
    guard let truth = value.boolValue else { throw wrong(field, "true or false") }
    return truth
  }

  /// A whole number of 0 or more, that a row can hold.
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
