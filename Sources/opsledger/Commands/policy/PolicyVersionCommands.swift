import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `policy diff|rollback|check|export|import`.
extension PolicyCommands {
  static let diff = Command(
    group: .policy, name: "policy diff",
    summary: "show what changed between two versions of a policy",
    arguments: [
      key, .init(name: "A", help: "a version (the one before the last)", isOptional: true),
      .init(name: "B", help: "another (the last)", isOptional: true),
    ],
    examples: [
      "policy diff reaction_matrix": "what the last change did",
      "policy diff reaction_matrix 3 7": "from version 3 to version 7",
    ]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    let session = try call.session()
    let versions = try session.policyHistory(key, limit: 1_000_000)
    let given = try call.arguments.dropFirst().map(version)
    let b = given.count > 1 ? given[1] : versions[0].version
    let a = given.first ?? versions.first { $0.version < b }?.version ?? b
    let differences = JSONDifference.between(
      try session.policyValue(key, version: a), try session.policyValue(key, version: b))
    if call.wantsJSON {
      Output.standard.line(JSONObjectWriter.list(differences, json))
      return .fine
    }
    if differences.isEmpty { call.note("versions \(a) and \(b) are equal") }
    for difference in differences {
      let path = difference.path.isEmpty ? "(the whole value)" : difference.path
      Output.standard.line(Terminal.printable("\(path): \(text(difference))"))
    }
    return .fine
  }

  private static func version(_ text: String) throws(OpsError) -> Int32 {
    guard let number = Int32(text), number > 0 else {
      throw .badInput(
        "\(text) is not a version of a policy", hint: "`opsledger policy history KEY` lists them")
    }
    return number
  }

  private static func text(_ difference: JSONDifference) -> String {
    switch (difference.from, difference.to) {
    case (nil, let to?): "added \(Shown.brief(to.text, 200))"
    case (let from?, nil): "removed, was \(Shown.brief(from.text, 200))"
    default: "\(Shown.brief(difference.from?.text, 200)) → \(Shown.brief(difference.to?.text, 200))"
    }
  }

  private static func json(_ difference: JSONDifference, _ out: inout JSONObjectWriter) {
    out.string("path", difference.path)
    if let from = difference.from { out.json("from", from) }
    if let to = difference.to { out.json("to", to) }
  }

  static let rollback = Command(
    group: .policy, name: "policy rollback",
    summary: "set a policy to the value of an earlier version",
    arguments: [key, .init(name: "VERSION", help: "the version to return to")],
    options: [.why, .key],
    notes: [
      "The old value becomes a new version, which names the version it comes from. For policy loop use halt and "
        + "resume."
    ],
    examples: [
      "policy rollback proposal_caps 3 --why 'the raise was a mistake'":
        "sets the value of version 3 again"
    ]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    let version = try version(call.argument(1))
    let why = try call.prose("why")
    let engine = try call.engine()
    say(try engine.rollbackPolicy(key, to: version, why: why), of: key, call)
    let value = try engine.session.policyValue(key, version: version)
    for warning in try engine.warnings(policy: key, value: value) {
      call.note("warning: \(warning)")
    }
    return .fine
  }

  static let check = Command(
    group: .policy, name: "policy check",
    summary: "check the policies, or a value before it is set",
    arguments: [.init(name: "KEY", help: "check only this policy", isOptional: true)],
    options: [.value("file", "F|-", "with KEY: check this file instead of the stored value")],
    notes: [
      "Exit 1 if a policy is invalid. Unknown fields are warnings, and so are steps that can never run: no executor "
        + "has their kind, or they need a step that does not exist."
    ],
    examples: [
      "policy check": "checks all policies",
      "policy check reaction_matrix --file matrix.json": "checks a file before policy set",
    ]
  ) { (call) throws(OpsError) in
    let engine = try call.engine()
    var values: [(String, JSON?)] = []
    if call.text("file") != nil {
      guard let key = call.arguments.first else { throw .badInput("--file needs a KEY") }
      values = [(key, try call.jsonFile(bytesMax: Engine.policyBytesMax))]
    } else {
      let stored = try engine.session.list(.policies(limit: 1_000_000))
      let keys = call.arguments.isEmpty ? Policies.keys + stored.map(\.key) : call.arguments
      for key in Set(keys).sorted() {
        let value = stored.first { $0.key == key }?.value
        values.append((key, value.flatMap { try? JSON(parsing: $0) }))
      }
    }
    var results: [(key: String, error: String?, warnings: [String])] = []
    for (key, value) in values { results.append(try result(key, value, engine)) }
    if call.wantsJSON {
      Output.standard.line(JSONObjectWriter.list(results, json))
    } else {
      for result in results {
        Output.standard.line(Terminal.printable("\(result.key): \(result.error ?? "valid")"))
        for warning in result.warnings { call.note("warning: \(warning)") }
      }
    }
    return results.contains { $0.error != nil } ? .no : .fine
  }

  private static func result(
    _ key: String, _ value: JSON?, _ engine: Engine
  ) throws(OpsError) -> (key: String, error: String?, warnings: [String]) {
    guard let value else { return (key, "this policy does not exist", []) }
    do throws(OpsError) {
      try engine.check(policy: key, value: value)
    } catch {
      guard error.code != .databaseUnreachable else { throw error }
      return (key, error.description, Policies.warnings(key: key, value: value))
    }
    return (key, nil, try engine.warnings(policy: key, value: value))
  }

  private static func json(
    _ result: (key: String, error: String?, warnings: [String]), _ out: inout JSONObjectWriter
  ) {
    out.string("key", result.key)
    out.bool("ok", result.error == nil)
    out.optional("error", result.error)
    out.list("warnings", result.warnings)
  }

  static let export = Command(
    group: .policy, name: "policy export", summary: "print every policy as one JSON object",
    examples: [
      "policy export > policies.json": "keep the file, or import it elsewhere"
    ]
  ) { (call) throws(OpsError) in
    let policies = try call.session().list(.policies(limit: 1_000_000))
    var members: [String: JSON] = [:]
    for policy in policies { members[policy.key] = (try? JSON(parsing: policy.value)) ?? .null }
    Output.standard.line(JSON.object(members).indented())
    return .fine
  }

  static let importing = Command(
    group: .policy, name: "policy import",
    summary: "set policies from an export, in one entry",
    options: [
      .value("file", "F|-", "what policy export printed; - is standard input", isRequired: true),
      .flag("dry-run", "only list what would change"), .whyUnlessDry, .key,
    ],
    notes: [
      "If one value is invalid, none is set. Equal policies get no new version. Policy loop is not imported: use halt "
        + "and resume. Policies that the file does not name stay."
    ],
    examples: [
      "policy import --file policies.json --dry-run": "what would change?",
      "policy import --file policies.json --why 'as in production'": "sets them",
    ]
  ) { (call) throws(OpsError) in
    let value = try call.jsonFile(bytesMax: 16 * Engine.policyBytesMax)
    guard var members = value.objectValue else {
      throw .badInput("the file is not an export, an object of policy keys and values")
    }
    let why = try call.prose("why")
    if members.removeValue(forKey: LoopState.key) != nil {
      call.note("policy loop was not imported; use `opsledger halt` or `opsledger resume`")
    }
    let engine = try call.engine()
    for (key, value) in members.sortedByKey {
      try engine.check(policy: key, value: value)
      for warning in try engine.warnings(policy: key, value: value, besides: members) {
        call.note("warning: \(warning)")
      }
    }
    let changes =
      call.flag("dry-run")
      ? try foresee(members, engine.session) : try engine.setPolicies(members, why: why)
    let changed = changes.filter(\.value.isChanged).keys.sorted()
    let verb = call.flag("dry-run") ? "would change" : "changed"
    let names = changed.isEmpty ? "nothing" : changed.joined(separator: ", ")
    let equal = changes.count - changed.count
    call.print(Terminal.printable("\(verb): \(names); equal: \(equal)")) { out in
      out.list("changed", changed)
      out.int("equal", equal)
    }
    return .fine
  }

  private static func foresee(
    _ members: [String: JSON], _ session: Session
  ) throws(OpsError) -> [String: PolicyChange] {
    let stored = try session.list(.policies(limit: 1_000_000))
    return members.reduce(into: [:]) { changes, member in
      let policy = stored.first { $0.key == member.key }
      let isEqual = policy.flatMap { try? JSON(parsing: $0.value) } == member.value
      changes[member.key] = PolicyChange(version: policy?.version ?? 0, isChanged: !isEqual)
    }
  }
}
