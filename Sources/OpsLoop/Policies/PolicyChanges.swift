public import JSON
public import Ledger
import Log
import Postgres

/// What a policy was set to.
public struct PolicyChange: Equatable, Sendable {
  public var version: Int32
  /// False where it had this value already: then nothing was recorded.
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
  /// - Parameter rollbackTo: The version whose value this is, where it is a rollback.
  /// - Throws: `OPS_008`, `OPS_009`, `OPS_019` for a value that its kind does not allow.
  public func setPolicy(
    _ key: String, to value: JSON, why: String?, rollbackTo: Int32? = nil
  ) throws(OpsError) -> PolicyChange {
    let changes = try setPolicies([key: value], why: why, rollbackTo: rollbackTo)
    guard let change = changes[key] else { throw OpsError(.conflict, "nothing was decided") }
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
        guard let value = values[key] else { continue }
        changes[key] = Self.set(key, value.text, rollbackTo, why, &draft)
      }
      return changes
    }
    return try answer(command).answer
  }

  private static func set(
    _ key: String, _ text: String, _ rollbackTo: Int32?, _ why: String?, _ draft: inout Draft
  ) -> PolicyChange {
    let stream = StreamID.policy(key)
    if let current = draft.row(stream, of: Policy.self), isSame(current.value, text) {
      return PolicyChange(version: current.version, isChanged: false)
    }
    draft.append(
      .set(key: key, value: text, rollbackTo: rollbackTo, why: why), of: Policy.self, to: stream)
    return PolicyChange(version: draft.row(stream, of: Policy.self)?.version ?? 0, isChanged: true)
  }

  private static func isSame(_ a: String, _ b: String) -> Bool {
    guard let a = try? JSON(parsing: a), let b = try? JSON(parsing: b) else { return false }
    return a == b
  }

  /// Checks a value before it becomes a policy, its conditions by the server.
  ///
  /// - Throws: `OPS_008`, `OPS_009`, `OPS_019`.
  public func check(policy key: String, value: JSON) throws(OpsError) {
    guard !key.isEmpty, key.utf8.count <= 200, !key.utf8.contains(where: { $0 <= 0x20 }) else {
      throw OpsError(.badInput, "a policy's key is a text of 1 to 200 bytes without spaces")
    }
    try Policies.check(key: key, value: value)
    guard value.text.utf8.count <= Self.policyBytesMax else {
      throw OpsError(.badInput, "a policy is at most \(Self.policyBytesMax) bytes")
    }
    if key == ReactionMatrix.key { try checkConditions(of: ReactionMatrix(value)) }
  }

  /// What of a value nothing reads, or can never come to anything, each as a sentence.
  ///
  /// - Parameter values: Policies that are set with it.
  public func warnings(
    policy key: String, value: JSON, besides values: [String: JSON] = [:]
  ) throws(OpsError) -> [String] {
    var roles = try policies().roles.value?.names
    if let given = values[AgentRoles.key] { roles = (try? AgentRoles(given))?.names }
    return Policies.warnings(key: key, value: value)
      + Policies.futileParts(
        of: key, value, executors: Executors.names, roles: roles.map { Set($0) })
  }

  /// Returns a policy to the value that it had in a version.
  ///
  /// - Throws: `OPS_011` for a version that it never had, `OPS_013` for policy `loop`.
  public func rollbackPolicy(
    _ key: String, to version: Int32, why: String?
  ) throws(OpsError) -> PolicyChange {
    guard key != LoopState.key else { throw OpsError.loopIsNoneOf("rollback") }
    let value = try session.policyValue(key, version: version)
    return try setPolicy(key, to: value, why: why, rollbackTo: version)
  }
}

/// Policies under their locks, and what is left of those that somebody removed: asked for after the lock, which
/// waits for who removes one now.
struct LockedPolicies {
  private let rows: Read<[Policy]>
  private let removed: Read<[(StreamID, Int32)]>

  init(_ keys: [String], in reads: inout Reads) {
    var (named, streams) = (Parameters(), Parameters())
    named.texts(keys)
    streams.uuids(keys.map(StreamID.policy))
    rows = reads.rows(of: Policy.self, Self.lock, named)
    removed = reads.add(Self.tombstones, streams) { (rows) throws(OpsError) in
      try onRow { () throws(PostgresError) in
        try (0..<rows.count).map { (row) throws(PostgresError) in
          (StreamID(try rows.uuid(row, 0)), try rows.int4(row, 1))
        }
      }
    }
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
  private static let tombstones = Statement(
    "SELECT t.stream, t.version FROM ledger.tombstones AS t WHERE t.stream = ANY ($1::uuid[])")
}

extension OpsError {
  /// Whether the loop runs is decided by `halt` and `resume` alone.
  public static func loopIsNoneOf(_ verb: String) -> OpsError {
    OpsError(
      .notAllowed, "policy \(LoopState.key) is not changed by \(verb)",
      hint: "`opsledger halt` and `opsledger resume` do that", facts: ["policy": LoopState.key])
  }
}
