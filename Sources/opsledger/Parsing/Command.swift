import Ledger

/// How a command ended, as scripts see it.
enum ExitStatus: Int32, Equatable, Sendable {
  /// Done, or the answer is yes.
  case fine = 0
  /// The answer is no: differences were found, a rule refused, or the thing does not exist.
  case no = 1
  /// The command line is wrong.
  case unreadable = 2
  /// The database or a store cannot be reached.
  case environment = 3
}

/// One command: its name, its arguments and options, and what it does. The parser and the help read
/// the same value, so that neither knows an option that the other does not.
struct Command: Sendable {
  /// In the order of the help.
  enum Group: String, CaseIterable, Sendable {
    case start, loop, work, policy, audit, recover, keep
  }

  struct Argument: Sendable {
    /// As the usage line shows it: `ID`, `approve|reject`.
    var name: String
    var help: String
    var isOptional = false
    /// Whether it may be given any number of times. Only the last argument may.
    var repeats = false

    /// An id of a row: `a mission's`.
    static func id(_ whose: String) -> Argument { Argument(name: "ID", help: "\(whose) id") }
  }

  struct Option: Sendable {
    /// Without the dashes.
    var name: String
    /// The name of the value in the help. Nil for a flag, which has no value.
    var value: String?
    var help: String
    var repeats = false
    var isRequired = false
    /// The flag that makes a required option unnecessary.
    var requiredUnless: String?

    static func flag(_ name: String, _ help: String) -> Option { Option(name: name, help: help) }

    static func value(
      _ name: String, _ value: String, _ help: String, isRequired: Bool = false
    ) -> Option {
      Option(name: name, value: value, help: help, isRequired: isRequired)
    }

    /// As usage lines and lists show it: `--limit N`.
    var head: String { value.map { "--\(name) \($0)" } ?? "--\(name)" }
  }

  var group: Group
  /// One word or two: `init`, `db start`.
  var name: String
  /// One line, no full stop.
  var summary: String
  var arguments: [Argument] = []
  var options: [Option] = []
  /// Paragraphs below the usage: what the command does.
  var notes: [String] = []
  /// What to type after `opsledger`, and what that does.
  var examples: KeyValuePairs<String, String> = [:]
  var run: @Sendable (Invocation) throws(OpsError) -> ExitStatus

  /// The id in examples.
  static let someID = "01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f"
}

extension Command.Option {
  /// Every command takes these, before its name or after it.
  static let global: [Command.Option] = [
    .value(
      "database", "URL",
      "the ledger's database (else OPS_DATABASE_URL, DATABASE_URL, SUPABASE_URL, .opsledger)"),
    Command.Option(
      name: "store", value: "DIR|s3://…", help: "a store of the ledger (else OPS_STORE)",
      repeats: true),
    .value("as", "NAME", "act under this name; the log also records your login"),
    .flag("json", "print JSON on stdout"),
    .flag("help", "explain the command"),
  ]
}

extension Command {
  /// `opsledger db psql [--superuser] [PSQL-ARGUMENT…]`
  var usage: String {
    var parts = ["opsledger", name]
    for option in options {
      let isNeeded = option.isRequired && option.requiredUnless == nil
      parts.append((isNeeded ? option.head : "[\(option.head)]") + (option.repeats ? "…" : ""))
    }
    for argument in arguments {
      let text = argument.name + (argument.repeats ? "…" : "")
      parts.append(argument.isOptional ? "[\(text)]" : text)
    }
    return parts.joined(separator: " ")
  }
}
