import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `policy list|get|set|history`; the others are in files of their own.
enum PolicyCommands {
  static let all =
    [list, get, set, history, diff, rollback, check, explain, report, export, importing]

  static let key = Command.Argument(
    name: "KEY", help: "which one: auto_approve, proposal_caps, worker_policy, …")

  static let list = Command(
    group: .policy, name: "policy list", summary: "list the policies", options: [.limit],
    examples: [.init(line: "policy list", meaning: "keys, versions and values")]
  ) { (call) throws(OpsError) in
    let limit = try call.limit()
    let policies = try call.session().list(.policies(limit: limit))
    printRows(
      policies, call, none: "no policies",
      { table, policy in
        table.add([
          policy.key, String(policy.version), Shown.time(policy.updatedAt),
          Shown.brief(policy.value, 100),
        ])
      },
      columns: [
        .init(title: "KEY", canShrink: false),
        .init(title: "VERSION", alignsRight: true, canShrink: false),
        .init(title: "CHANGED (UTC)", canShrink: false), .init(title: "VALUE"),
      ])
    return .fine
  }

  static let get = Command(
    group: .policy, name: "policy get", summary: "print a policy's value, as JSON",
    arguments: [key],
    examples: [.init(line: "policy get reaction_matrix > matrix.json", meaning: "to edit it")]
  ) { (call) throws(OpsError) in
    let policy = try call.session().policy(call.argument(0))
    let value = (try? JSON(parsing: policy.value)) ?? .null
    Output.standard.line(call.wantsJSON ? policy.value : value.indented())
    return .fine
  }

  static let set = Command(
    group: .policy, name: "policy set", summary: "set a policy", arguments: [key],
    options: [
      .init(
        name: "file", value: "F|-", help: "the value, as JSON; - is standard input",
        isRequired: true),
      .why, .key,
    ],
    notes: [
      "A value that the policy's kind does not allow is refused (OPS_008, OPS_009, OPS_019), and "
        + "nothing changes. Fields that nothing reads, and what can never run, are warnings. Whatever is decided from then on is decided under the new version."
    ],
    examples: [
      .init(
        line: "policy set proposal_caps --file caps.json --why 'launch week'",
        meaning: "history keeps who and why")
    ]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    let path = call.text("file") ?? "-"
    let text = try call.content(ofFile: path, bytesMax: Engine.policyBytesMax)
    let value = try EventCommands.parse(text, path == "-" ? "standard input" : path)
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
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.string("key", key)
      out.int("version", change.version)
      out.bool("changed", change.isChanged)
      Output.standard.line(out.finish())
    } else {
      let name = Terminal.printable(key)
      Output.standard.line(
        change.isChanged
          ? "policy \(name) is now version \(change.version)"
          : "policy \(name) has this value already, as version \(change.version); nothing was recorded"
      )
    }
  }

  static let history = Command(
    group: .policy, name: "policy history",
    summary: "list every value that a policy has had, the newest first", arguments: [key],
    options: [.limit],
    examples: [.init(line: "policy history proposal_caps", meaning: "who set it, when and why")]
  ) { (call) throws(OpsError) in
    let versions = try call.session().policyHistory(call.argument(0), limit: try call.limit())
    if call.wantsJSON {
      Output.standard.line("[" + versions.map(json).joined(separator: ",\n ") + "]")
      return .fine
    }
    var table = TextTable([
      .init(title: "VERSION", alignsRight: true, canShrink: false),
      .init(title: "SET (UTC)", canShrink: false),
      .init(title: "ENTRY", alignsRight: true, canShrink: false),
      .init(title: "BY"), .init(title: "WHY", canShrink: false), .init(title: "VALUE"),
    ])
    for version in versions {
      table.add([
        String(version.version), Shown.time(version.at), String(version.entry), version.actor,
        Shown.brief(reason(version), 200), Shown.brief(version.value ?? "removed", 100),
      ])
    }
    Output.standard.write(table.text())
    return .fine
  }

  /// Why, and how, where it was not `policy set`.
  private static func reason(_ version: PolicyVersion) -> String {
    var parts: [String] = []
    if let earlier = version.rollbackTo { parts.append("back to version \(earlier)") }
    switch version.kind {
    case .own(.set): break
    case .common(let kind): parts.append("\(kind.rawValue) by hand")
    case nil: parts.append(version.type)
    }
    if let why = version.why { parts.append(why) }
    return parts.joined(separator: ": ")
  }

  private static func json(_ version: PolicyVersion) -> String {
    var out = JSONObjectWriter()
    out.string("key", version.key)
    out.int("version", version.version)
    out.int("entry", version.entry)
    out.string("recorded_at", version.at.description)
    out.string("actor", version.actor)
    out.string("type", version.type)
    out.json("why", .optional(version.why))
    out.json("rollback_to", version.rollbackTo.map(JSON.int) ?? .null)
    out.raw("value", version.value ?? "null")
    return out.finish()
  }
}

extension JSON {
  /// For people: a line a member, where it does not fit on one.
  func indented(_ margin: String = "", columnsMax: Int = 80) -> String {
    let flat = text
    if margin.count + flat.count <= columnsMax { return flat }
    let inner = margin + "  "
    switch self {
    case .object(let members):
      let lines = members.sorted { $0.key < $1.key }.map { key, value in
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
