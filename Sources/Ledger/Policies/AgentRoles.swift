public import JSON

/// Policy `agent_roles`: the roles that there are; who votes is one of them, or a required voter. Broken or absent:
/// there are none. What the objects say is for executors of agents.
public struct AgentRoles: PolicyValue, Equatable {
  public static let key = "agent_roles"

  public var names: [String]

  public init(_ value: JSON) throws(OpsError) {
    let roles = try PolicyFields(Self.key, value, code: .badInput)
    for name in roles.members.keys.sorted() where roles.members[name]?.objectValue == nil {
      throw roles.wrong(name, "an object")
    }
    names = roles.members.keys.sorted()
  }
}
