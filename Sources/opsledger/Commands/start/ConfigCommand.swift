import Host
import JSON
import Ledger

/// `config list`: every setting, its value, and the value's source.
enum ConfigCommand {
  static let list = Command(
    group: .start, name: "config list",
    summary: "list every setting, its value, and where the value comes from",
    notes: [
      "The environment comes before .env in the working directory. A secret can be in a file that NAME_FILE names. "
        + "Secrets are not printed."
    ],
    examples: ["config list": "which database and store would a command use?"]
  ) { (call) throws(OpsError) in
    call.print(
      Setting.allCases.map { row($0, call.environment) }, none: "no settings",
      [
        .words("NAME") { $0.name }, .words("VALUE") { $0.value ?? "" },
        .words("FROM") { $0.source },
      ]
    ) { row, out in
      out.string("name", row.name)
      out.optional("value", row.value)
      out.string("source", row.source)
    }
    return .fine
  }

  private static func row(
    _ setting: Setting, _ environment: Environment
  ) -> (name: String, value: String?, source: String) {
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
