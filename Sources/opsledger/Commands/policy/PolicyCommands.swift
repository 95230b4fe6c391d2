import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `policy list|get|set|history`.
enum PolicyCommands {
  static let all =
    [list, get, set, history, diff, rollback, check, explain, report, export, importing]

  static let key = Command.Argument(
    name: "KEY", help: "the policy: auto_approve, proposal_caps, worker_policy, …")

  static let list = Command(
    group: .policy, name: "policy list", summary: "list the policies", options: [.limit],
    examples: ["policy list": "keys, versions and values"]
  ) { (call) throws(OpsError) in
    let limit = try call.limit()
    call.print(
      try call.session().list(.policies(limit: limit)), none: "no policies",
      [
        .whole("KEY") { $0.key }, .number("VERSION") { String($0.version) },
        .whole("CHANGED (UTC)") { Shown.time($0.updatedAt) },
        .words("VALUE") { Shown.brief($0.value, 100) },
      ])
    return .fine
  }

  static let get = Command(
    group: .policy, name: "policy get", summary: "print a policy's value, as JSON",
    arguments: [key],
    examples: ["policy get reaction_matrix > matrix.json": "edit the file, then policy set"]
  ) { (call) throws(OpsError) in
    let policy = try call.session().policy(call.argument(0))
    let value = (try? JSON(parsing: policy.value)) ?? .null
    Output.standard.line(call.wantsJSON ? policy.value : value.indented())
    return .fine
  }

  static let set = Command(
    group: .policy, name: "policy set", summary: "set a policy to the value in a file",
    arguments: [key],
    options: [
      .value("file", "F|-", "the value, as JSON; - is standard input", isRequired: true),
      .why, .key,
    ],
    notes: [
      "An invalid value is refused (OPS_008, OPS_009, OPS_019), and nothing changes. Unknown fields, and steps that "
        + "can never run, are warnings. Later decisions use the new version."
    ],
    examples: [
      "policy set proposal_caps --file caps.json --why 'launch week'": "sets new caps"
    ]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    let value = try call.jsonFile(bytesMax: Engine.policyBytesMax)
    let why = try call.prose("why")
    let engine = try call.engine()
    let change = try engine.setPolicy(key, to: value, why: why)
    for warning in try engine.warnings(policy: key, value: value) {
      call.note("warning: \(warning)")
    }
    say(change, of: key, call)
    return .fine
  }

  static func say(_ change: PolicyChange, of key: String, _ call: Invocation) {
    let what =
      change.isChanged
      ? "is now version \(change.version)"
      : "has this value already, as version \(change.version); nothing was recorded"
    call.print("policy \(Terminal.printable(key)) \(what)") { out in
      out.string("key", key)
      out.int("version", change.version)
      out.bool("changed", change.isChanged)
    }
  }

  static let history = Command(
    group: .policy, name: "policy history",
    summary: "list every version of a policy, the newest first", arguments: [key],
    options: [.limit],
    examples: ["policy history proposal_caps": "who set each version, when and why"]
  ) { (call) throws(OpsError) in
    let versions = try call.session().policyHistory(call.argument(0), limit: try call.limit())
    call.print(
      versions, none: "no versions",
      [
        .number("VERSION") { String($0.version) }, .whole("SET (UTC)") { Shown.time($0.at) },
        .number("ENTRY") { String($0.entry) }, .words("BY") { $0.actor },
        .whole("WHY") { Shown.brief(reason($0), 200) },
        .words("VALUE") { Shown.brief($0.value ?? "removed", 100) },
      ], json: json)
    return .fine
  }

  /// The reason, after how it was set where that was not `policy set`.
  private static func reason(_ version: PolicyVersion) -> String {
    var parts: [String] = []
    if let earlier = version.rollbackTo { parts.append("back to version \(earlier)") }
    switch version.kind {
    case .own(.set): break
    case .common(let kind): parts.append("\(kind.rawValue) manually")
    case nil: parts.append(version.type)
    }
    if let why = version.why { parts.append(why) }
    return parts.joined(separator: ": ")
  }

  private static func json(_ version: PolicyVersion, _ out: inout JSONObjectWriter) {
    out.string("key", version.key)
    out.int("version", version.version)
    out.int("entry", version.entry)
    out.string("recorded_at", version.at.description)
    out.string("actor", version.actor)
    out.string("type", version.type)
    out.optional("why", version.why)
    out.optional("rollback_to", version.rollbackTo)
    out.raw("value", version.value ?? "null")
  }
}

extension JSON {
  /// Indented text, with a line for each member where they do not fit on one.
  func indented(_ margin: String = "", columnsMax: Int = 80) -> String {
    let flat = text
    if margin.count + flat.count <= columnsMax { return flat }
    let inner = margin + "  "
    switch self {
    case .object(let members):
      let lines = members.sortedByKey.map { key, value in
        inner + JSON.string(key).text + ": " + value.indented(inner, columnsMax: columnsMax)
      }
      return "{\n" + lines.joined(separator: ",\n") + "\n" + margin + "}"
    case .array(let elements):
      let lines = elements.map { inner + $0.indented(inner, columnsMax: columnsMax) }
      return "[\n" + lines.joined(separator: ",\n") + "\n" + margin + "]"
    case .null, .bool, .number, .string: return flat
    }
  }
}
