public import JSON

/// Policy `agent_roles`: the roles, which may vote, as the required voters may. If it is broken or absent, there are no
/// roles. Executors of agents read the objects.
public struct AgentRoles: PolicyValue, Equatable {
  public static let key = "agent_roles"

  public var names: [String]

  public init(_ value: JSON) throws(OpsError) {
    let roles = try FieldReader(Self.key, value, code: .badInput)
    names = roles.members.keys.sorted()
    for name in names where roles.members[name]?.objectValue == nil {
      throw roles.wrong(name, "an object")
    }
  }
}
