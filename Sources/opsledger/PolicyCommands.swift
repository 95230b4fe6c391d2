import Host
import JSON
import Ledger
import Log
import OpsLoop
import Postgres

/// `policy list|get|set|history`.
enum PolicyCommands {
  static let all = [list, get, set, history]

  private static let key = Command.Argument(name: "KEY", help: "the policy: proposal_caps")

  static let list = Command(
    group: .policy, name: "policy list", summary: "list the policies", options: [.limit],
    examples: [.init(line: "policy list", meaning: "keys, versions and values")]
  ) { (call) throws(OpsError) in
    let policies = try call.session().list(.policies(limit: call.limit()))
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
        .init(title: "SET (UTC)", canShrink: false), .init(title: "VALUE"),
      ])
    return .fine
  }

  static let get = Command(
    group: .policy, name: "policy get", summary: "print a policy's value", arguments: [key],
    examples: [.init(line: "policy get reaction_matrix > matrix.json", meaning: "to edit it")]
  ) { (call) throws(OpsError) in
    var parameters = Parameters()
    parameters.text(call.argument(0))
    let rows = try call.session().query(
      Statement("SELECT value, jsonb_pretty(value) FROM ops_policy WHERE key = $1::text"),
      parameters)
    guard rows.count == 1 else { throw Self.none(call.argument(0)) }
    do throws(PostgresError) {
      Output.standard.line(call.wantsJSON ? try rows.jsonb(0, 0) : try rows.text(0, 1))
    } catch {
      throw OpsError(database: error)
    }
    return .fine
  }

  private static func none(_ key: String) -> OpsError {
    OpsError(
      .policyNotFound, "there is no policy \(key)",
      hint: "see `opsledger policy list`; `opsledger init` seeds those that a ledger needs",
      facts: ["policy": key])
  }

  static let set = Command(
    group: .policy, name: "policy set", summary: "set a policy", arguments: [key],
    options: [
      .init(name: "file", value: "F|-", help: "the value, as JSON", isRequired: true), .why,
    ],
    notes: ["A value that its kind does not allow is refused and changes nothing."],
    examples: [
      .init(
        line: #"policy set proposal_caps --file caps.json --why 'Friday is busy'"#,
        meaning: "history keeps who, when and why")
    ]
  ) { (call) throws(OpsError) in
    let value = try EventCommands.parse(call.content(ofFile: call.text("file") ?? "-"), "the value")
    let key = call.argument(0)
    let version = try call.engine().setPolicy(key, to: value, why: call.prose("why"))
    if call.wantsJSON {
      Output.standard.line(
        JSON.object(["key": .string(key), "version": .int(version)]).text)
    } else {
      Output.standard.line("policy \(key) is now at version \(version)")
    }
    return .fine
  }

  static let history = Command(
    group: .policy, name: "policy history", summary: "show a policy's versions: who, when and why",
    arguments: [key],
    examples: [.init(line: "policy history proposal_caps", meaning: "from the first on")]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    let session = try call.session()
    let sealed = try session.seal()
    let events = try session.events(
      LogQuery(stream: .policy(key), entries: 0...sealed, limit: 100_000))
    guard !events.isEmpty else { throw Self.none(key) }
    if call.wantsJSON {
      Output.standard.line(
        "[" + events.map { Self.version(key, $0).text }.joined(separator: ",\n ") + "]")
      return .fine
    }
    var table = TextTable([
      .init(title: "VERSION", alignsRight: true, canShrink: false),
      .init(title: "SET (UTC)", canShrink: false), .init(title: "BY", canShrink: false),
      .init(title: "WHY"), .init(title: "VALUE"),
    ])
    for event in events {
      table.add([
        String(event.version), Shown.time(event.at), event.actor,
        event.texts["why"]?.stringValue ?? "", Shown.brief(event.fields["value"]?.text, 100),
      ])
    }
    Output.standard.write(table.text())
    return .fine
  }

  private static func version(_ key: String, _ event: RecordedEvent) -> JSON {
    .object([
      "key": .string(key), "version": .int(event.version),
      "updated_at": .string(event.at.description),
      "value": event.fields["value"] ?? .null, "actor": .string(event.actor),
      "why": event.texts["why"] ?? .null, "type": .string(event.type), "entry": .int(event.entry),
    ])
  }
}
