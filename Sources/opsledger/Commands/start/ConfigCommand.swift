import Host
import JSON
import Ledger

/// `config list`: every setting, what it is now, and who says so.
enum ConfigCommand {
  static let all = [list]

  static let list = Command(
    group: .start, name: "config list", summary: "show every setting, its value and where from",
    notes: [
      "The environment wins over .env in the working directory. Secrets can be kept in a file that "
        + "NAME_FILE names; they are not shown."
    ],
    examples: [.init(line: "config list", meaning: "see what a command would work with")]
  ) { (call) throws(OpsError) in
    var rows: [(name: String, value: String?, source: String)] = []
    for setting in Setting.allCases { rows.append(try row(setting, call.environment)) }
    if call.wantsJSON {
      let items = rows.map { row in
        JSON.object([
          "name": .string(row.name), "value": .optional(row.value), "source": .string(row.source),
        ])
      }
      Output.standard.line(JSON.array(items).text)
      return .fine
    }
    var table = TextTable("NAME", "VALUE", "FROM")
    for row in rows { table.add([row.name, row.value ?? "", row.source]) }
    Output.standard.write(table.text())
    return .fine
  }

  private static func row(
    _ setting: Setting, _ environment: Environment
  ) throws(OpsError) -> (name: String, value: String?, source: String) {
    let name = setting.rawValue
    let found: Environment.Value?
    do throws(HostError) {
      try environment.requireReadable(name)
      found = setting.isSecret ? try environment.secret(name) : environment.value(name)
    } catch {
      return (name, nil, error.message)
    }
    guard let found else {
      return (name, setting.standard, setting.standard == nil ? "not set" : "default")
    }
    let source =
      switch found.origin {
      case .process: "environment"
      case .dotEnv: ".env"
      case .file(let path): "file \(path)"
      }
    return (name, setting.shown(found.text), source)
  }
}
