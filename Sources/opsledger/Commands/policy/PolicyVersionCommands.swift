import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `policy diff|rollback|check|export|import`: versions of policies, and sets of them.
extension PolicyCommands {
  static let diff = Command(
    group: .policy, name: "policy diff", summary: "show what changed between two versions",
    arguments: [
      key, .init(name: "A", help: "a version (the one before the last)", isOptional: true),
      .init(name: "B", help: "another (the last)", isOptional: true),
    ],
    examples: [
      .init(line: "policy diff reaction_matrix", meaning: "what the last change did"),
      .init(line: "policy diff reaction_matrix 3 7", meaning: "from version 3 to version 7"),
    ]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    let session = try call.session()
    let versions = try session.policyHistory(key, limit: 1_000_000)
    let given = try call.arguments.dropFirst().map { (text) throws(OpsError) in
      guard let number = Int32(text), number > 0 else {
        throw .badInput("\(text) is no version; see `opsledger policy history`")
      }
      return number
    }
    let b = given.count > 1 ? given[1] : versions[0].version
    let a = given.first ?? versions.first { $0.version < b }?.version ?? b
    let differences = JSONDifference.between(
      try session.policyValue(key, version: a), try session.policyValue(key, version: b))
    if call.wantsJSON {
      Output.standard.line(
        "[" + differences.map(json).joined(separator: ",\n ") + "]")
      return .fine
    }
    if differences.isEmpty { call.note("versions \(a) and \(b) are equal") }
    for difference in differences {
      let path = difference.path.isEmpty ? "(all of it)" : difference.path
      Output.standard.line(Terminal.printable("\(path): \(text(difference))"))
    }
    return .fine
  }

  private static func text(_ difference: JSONDifference) -> String {
    switch (difference.from, difference.to) {
    case (nil, let to?): "added \(Shown.brief(to.text, 200))"
    case (let from?, nil): "removed, was \(Shown.brief(from.text, 200))"
    default: "\(Shown.brief(difference.from?.text, 200)) → \(Shown.brief(difference.to?.text, 200))"
    }
  }

  private static func json(_ difference: JSONDifference) -> String {
    var out = JSONObjectWriter()
    out.string("path", difference.path)
    if let from = difference.from { out.json("from", from) }
    if let to = difference.to { out.json("to", to) }
    return out.finish()
  }

  static let rollback = Command(
    group: .policy, name: "policy rollback",
    summary: "set a policy to the value of an earlier version",
    arguments: [key, .init(name: "VERSION", help: "the version to return to")],
    options: [.why, .key],
    notes: [
      "Going back goes forward: it is a new version, which names the one it returns to. Policy loop is "
        + "left to halt and resume."
    ],
    examples: [
      .init(
        line: "policy rollback proposal_caps 3 --why 'the raise was a mistake'",
        meaning: "history keeps both")
    ]
  ) { (call) throws(OpsError) in
    let key = call.argument(0)
    guard let version = Int32(call.argument(1)), version > 0 else {
      throw .badInput("\(call.argument(1)) is no version; see `opsledger policy history`")
    }
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
    summary: "check the policies as they stand, or a value before it is set",
    arguments: [.init(name: "KEY", help: "only this one", isOptional: true)],
    options: [.init(name: "file", value: "F|-", help: "with KEY: check this value instead")],
    notes: [
      "Exit 1 where one is broken. Fields that nothing reads are warnings, and so is what can never run: a step "
        + "whose kind no executor has, or that needs a step which is not there."
    ],
    examples: [
      .init(line: "policy check", meaning: "all of them"),
      .init(line: "policy check reaction_matrix --file matrix.json", meaning: "before it is set"),
    ]
  ) { (call) throws(OpsError) in
    let engine = try call.engine()
    var values: [(String, JSON?)] = []
    if let path = call.text("file") {
      guard let key = call.arguments.first else { throw .badInput("--file wants a KEY") }
      let text = try call.content(ofFile: path, bytesMax: Engine.policyBytesMax)
      values = [(key, try EventCommands.parse(text, path == "-" ? "standard input" : path))]
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
      Output.standard.line("[" + results.map(json).joined(separator: ",\n ") + "]")
    } else {
      for result in results {
        Output.standard.line(
          Terminal.printable("\(result.key): \(result.error ?? "fine")"))
        for warning in result.warnings { call.note("warning: \(warning)") }
      }
    }
    return results.contains { $0.error != nil } ? .no : .fine
  }

  private static func result(
    _ key: String, _ value: JSON?, _ engine: Engine
  ) throws(OpsError) -> (key: String, error: String?, warnings: [String]) {
    guard let value else { return (key, "there is no such policy", []) }
    do throws(OpsError) {
      try engine.check(policy: key, value: value)
    } catch {
      guard error.code != .databaseUnreachable else { throw error }
      return (key, error.description, Policies.warnings(key: key, value: value))
    }
    return (key, nil, try engine.warnings(policy: key, value: value))
  }

  private static func json(
    _ result: (key: String, error: String?, warnings: [String])
  ) -> String {
    var out = JSONObjectWriter()
    out.string("key", result.key)
    out.bool("ok", result.error == nil)
    out.json("error", .optional(result.error))
    out.json("warnings", .array(result.warnings.map(JSON.string)))
    return out.finish()
  }

  static let export = Command(
    group: .policy, name: "policy export", summary: "print every policy as one JSON object",
    examples: [
      .init(line: "policy export > policies.json", meaning: "to keep, or to import elsewhere")
    ]
  ) { (call) throws(OpsError) in
    let policies = try call.session().list(.policies(limit: 1_000_000))
    var members: [String: JSON] = [:]
    for policy in policies { members[policy.key] = (try? JSON(parsing: policy.value)) ?? .null }
    let text = JSON.object(members).indented() + "\n"
    Output.standard.write(text)
    return .fine
  }

  static let importing = Command(
    group: .policy, name: "policy import",
    summary: "set policies to what an export says, in one entry",
    options: [
      .init(name: "file", value: "F|-", help: "an export; - is standard input", isRequired: true),
      .init(name: "dry-run", help: "only say what would change"), .whyUnlessDry, .key,
    ],
    notes: [
      "All are checked first; those that are equal are left alone, and so is policy loop, which is "
        + "left to halt and resume. Policies that the file does not have stay."
    ],
    examples: [
      .init(
        line: "policy import --file policies.json --dry-run",
        meaning: "what would change"),
      .init(line: "policy import --file policies.json --why 'as in production'", meaning: "do it"),
    ]
  ) { (call) throws(OpsError) in
    let path = call.text("file") ?? "-"
    let text = try call.content(ofFile: path, bytesMax: 16 * Engine.policyBytesMax)
    let value = try EventCommands.parse(text, path == "-" ? "standard input" : path)
    guard var members = value.objectValue else {
      throw .badInput("an export is an object: a policy's key, and its value")
    }
    let why = try call.prose("why")
    if members.removeValue(forKey: LoopState.key) != nil {
      call.note("policy loop is left as it is; see `opsledger halt`, `opsledger resume`")
    }
    let engine = try call.engine()
    for (key, value) in members.sorted(by: { $0.key < $1.key }) {
      try engine.check(policy: key, value: value)
      for warning in try engine.warnings(policy: key, value: value, besides: members) {
        call.note("warning: \(warning)")
      }
    }
    let changes =
      call.flag("dry-run")
      ? try foresee(members, engine.session) : try engine.setPolicies(members, why: why)
    let changed = changes.filter(\.value.isChanged).keys.sorted()
    if call.wantsJSON {
      var out = JSONObjectWriter()
      out.json("changed", .array(changed.map(JSON.string)))
      out.int("equal", changes.count - changed.count)
      Output.standard.line(out.finish())
    } else {
      let verb = call.flag("dry-run") ? "would change" : "changed"
      let names = changed.isEmpty ? "nothing" : changed.joined(separator: ", ")
      Output.standard.line(
        Terminal.printable("\(verb): \(names); equal: \(changes.count - changed.count)"))
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
