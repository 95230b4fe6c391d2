public import JSON
public import Ledger
import Postgres

/// One value that a policy has had.
public struct PolicyVersion: Equatable, Sendable {
  public var key: String
  public var version: Int32
  public var entry: Int64
  public var at: Instant
  public var actor: String
  public var type: String
  /// How the value was set; nil if this release does not know the type.
  public var kind: StreamEvent<Policy>.Kind?
  /// JSON text; nil if the policy was removed.
  public var value: String?
  public var why: String?
  /// The version whose value this is, if it is a rollback.
  public var rollbackTo: Int32?
}

extension Session {
  /// Every value of one policy, the newest first, from the log.
  ///
  /// - Throws: `OPS_002` if there never was such a policy.
  public func policyHistory(_ key: String, limit: Int) throws(OpsError) -> [PolicyVersion] {
    var parameters = Parameters()
    parameters.uuid(.policy(key))
    parameters.int8(Int64(limit))
    // Commands read this before they decide, and survive a broken connection.
    let events = try readBack(Self.lastOfPolicy, parameters).events()
    var versions: [PolicyVersion] = []
    var last: String?
    for event in events.reversed() {
      let version = PolicyVersion(key: key, after: last, event)
      last = version.value
      versions.append(version)
    }
    guard !versions.isEmpty else { throw .noPolicy(key) }
    return versions.reversed()
  }

  /// Also archived events of the policy, because the loop needs them without a store.
  private static let lastOfPolicy = Statement(
    """
    SELECT \(LoggedEvent.columns) FROM ledger.events_in_database AS e WHERE e.stream = $1::uuid
    ORDER BY e.version DESC LIMIT $2::bigint
    """)

  /// The value that a policy had in a version.
  ///
  /// - Throws: `OPS_002`; `OPS_011` if the policy has no such version, or was removed by it.
  public func policyValue(_ key: String, version: Int32) throws(OpsError) -> JSON {
    let found = try policyHistory(key, limit: 1_000_000).first { $0.version == version }
    guard let value = found?.value.flatMap({ try? JSON(parsing: $0) }) else {
      throw OpsError(
        .notFound, "policy \(key) has no value in version \(version)",
        hint: "see `opsledger policy history \(key)`", facts: ["policy": key])
    }
    return value
  }

  /// One policy as it is now.
  ///
  /// - Throws: `OPS_002` if there is none.
  public func policy(_ key: String) throws(OpsError) -> Policy {
    let rows = try query(
      Statement("SELECT \(Policy.select("p")) FROM public.ops_policy AS p WHERE p.key = $1::text"),
      Parameters(key))
    guard rows.count == 1 else { throw .noPolicy(key) }
    return try rows.row(0, of: Policy.self)
  }
}

extension PolicyVersion {
  /// - Parameter last: The value before. An event that cannot be read does not change it.
  fileprivate init(key: String, after last: String?, _ event: LoggedEvent) {
    self.init(
      key: key, version: event.version, entry: event.entry, at: event.recordedAt,
      actor: event.actor, type: event.type, value: last)
    guard case .policy(let kind) = EventType(event.type) else { return }
    self.kind = kind
    switch try? event.decoded(kind) {
    case .own(.set(_, let value, let rollbackTo, let why)):
      (self.value, self.rollbackTo, self.why) = (Self.canonical(value), rollbackTo, why)
    case .common(.removed), .common(.archived): self.value = nil
    case .common(.erased(let why)): self.why = why
    case .common(let manual):
      guard let changed = manual.value(of: "value")?.jsonValue else { return }
      value = Self.canonical(changed)
      // A manual change has no reason of its own, but the value of a policy may have one, as that of `loop`.
      if event.command == nil { why = (try? JSON(parsing: changed))?["why"]?.stringValue }
    case nil: break
    }
  }

  private static func canonical(_ json: String) -> String {
    (try? JSON(parsing: json))?.text ?? json
  }
}

extension OpsError {
  static func noPolicy(_ key: String) -> OpsError {
    OpsError(
      .policyNotFound, "there is no policy \(key)", hint: "see `opsledger policy list`",
      facts: ["policy": key])
  }
}
