public import JSON
public import Ledger
import Log
import Postgres

/// The result of setting a policy.
public struct PolicyChange: Equatable, Sendable {
  public var version: Int32
  /// False if the policy had this value already. Then nothing was recorded.
  public var isChanged: Bool

  public init(version: Int32, isChanged: Bool) {
    self.version = version
    self.isChanged = isChanged
  }
}

extension Engine {
  public static let policyBytesMax = 1_048_576

  /// Sets a policy.
  ///
  /// - Parameter rollbackTo: The version to which this returns the policy.
  /// - Throws: `OPS_008`, `OPS_009`, `OPS_019` for a value that this policy does not allow.
  public func setPolicy(
    _ key: String, to value: JSON, why: String?, rollbackTo: Int32? = nil
  ) throws(OpsError) -> PolicyChange {
    let changes = try setPolicies([key: value], why: why, rollbackTo: rollbackTo)
    guard let change = changes[key] else {
      throw OpsError(.conflict, "the recorded answer has no version of policy \(key)")
    }
    return change
  }

  /// Sets several policies in one entry: all of them, or none.
  public func setPolicies(
    _ values: [String: JSON], why: String?, rollbackTo: Int32? = nil
  ) throws(OpsError) -> [String: PolicyChange] {
    for (key, value) in values { try check(policy: key, value: value) }
    let keys = values.keys.sorted()
    var reads = Reads()
    let locked = LockedPolicies(keys, in: &reads)
    let command = Command(reads) { (found, draft) throws(OpsError) -> [String: PolicyChange] in
      try locked.load(found, into: &draft)
      var changes: [String: PolicyChange] = [:]
      for key in keys {
        guard let text = values[key]?.text, let value = try? JSON(parsing: text) else { continue }
        let stream = StreamID.policy(key)
        let current = draft.row(stream, of: Policy.self)
        let isChanged = current.flatMap { try? JSON(parsing: $0.value) } != value
        if isChanged {
          draft.append(
            .set(key: key, value: text, rollbackTo: rollbackTo, why: why), of: Policy.self,
            to: stream)
        }
        let version = draft.row(stream, of: Policy.self)?.version ?? 0
        changes[key] = PolicyChange(version: version, isChanged: isChanged)
      }
      return changes
    }
    return try answer(command).answer
  }

  /// Checks the value of a policy. The server checks conditions.
  ///
  /// - Throws: `OPS_008`, `OPS_009`, `OPS_019`.
  public func check(policy key: String, value: JSON) throws(OpsError) {
    guard !key.isEmpty, key.utf8.count <= 200, !key.utf8.contains(where: { $0 <= 0x20 }) else {
      throw OpsError(.badInput, "the key of a policy must have 1 to 200 bytes and no spaces")
    }
    try Policies.check(key: key, value: value)
    guard value.text.utf8.count <= Self.policyBytesMax else {
      throw OpsError(
        .badInput, "policy \(key) has more than \(Self.policyBytesMax) bytes")
    }
    if key == ReactionMatrix.key { try checkConditions(of: ReactionMatrix(value)) }
  }

  /// Warnings about the parts of a value that have no effect, each a sentence.
  ///
  /// - Parameter values: Policies that are set at the same time.
  public func warnings(
    policy key: String, value: JSON, besides values: [String: JSON] = [:]
  ) throws(OpsError) -> [String] {
    var roles = try policies().roles.value?.names
    if let given = values[AgentRoles.key] { roles = (try? AgentRoles(given))?.names }
    return Policies.warnings(key: key, value: value)
      + Policies.futileParts(
        of: key, value, executors: Executors.names, roles: roles.map { Set($0) })
  }

  /// Sets a policy to the value of an earlier version.
  ///
  /// - Throws: `OPS_011` if there is no such version, `OPS_013` for policy `loop`.
  public func rollbackPolicy(
    _ key: String, to version: Int32, why: String?
  ) throws(OpsError) -> PolicyChange {
    guard key != LoopState.key else { throw OpsError.loopIsNoneOf("rollback") }
    let value = try session.policyValue(key, version: version)
    return try setPolicy(key, to: value, why: why, rollbackTo: version)
  }
}

/// Locks policies, and then reads the tombstones of removed ones: the lock waits for a transaction that removes one.
struct LockedPolicies {
  private let rows: Read<[Policy]>
  private let removed: Read<[StreamID: Int32]>

  init(_ keys: [String], in reads: inout Reads) {
    rows = reads.rows(of: Policy.self, Self.lock, Parameters { $0.texts(keys) })
    removed = reads.tombstones(keys.map(StreamID.policy))
  }

  func load(_ found: Found, into draft: inout Draft) throws(OpsError) {
    for policy in try found[rows] { try draft.load(policy, as: .policy(policy.key)) }
    for (stream, version) in try found[removed] {
      try draft.load(tombstone: version, of: Policy.self, as: stream)
    }
  }

  private static let lock = Statement(
    """
    SELECT \(Policy.select("p")) FROM public.ops_policy AS p WHERE p.key = ANY ($1::text[])
    ORDER BY p.key FOR NO KEY UPDATE
    """)
}

extension OpsError {
  /// Only `halt` and `resume` change policy `loop`.
  public static func loopIsNoneOf(_ verb: String) -> OpsError {
    OpsError(
      .notAllowed, "policy \(LoopState.key) is not changed by \(verb)",
      hint: "use `opsledger halt` or `opsledger resume`", facts: ["policy": LoopState.key])
  }
}
