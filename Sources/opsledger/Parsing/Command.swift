import Ledger

/// How a command ended, as scripts see it.
enum ExitStatus: Int32, Equatable, Sendable {
  /// Done, or the answer is yes.
  case fine = 0
  /// The answer is no: differences found, refused by a rule, no such thing.
  case no = 1
  /// It could not be read as a command.
  case unreadable = 2
  /// Something of the environment is out of reach.
  case environment = 3
}

/// One command: what it is called, what it takes, and what it does. The parser and the help read
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
    /// Whether it may be given any number of times; only the last argument may.
    var repeats = false
  }

  struct Option: Sendable {
    /// Without the dashes.
    var name: String
    /// What the value is called in the help, or nil for an option without one.
    var value: String?
    var help: String
    var repeats = false
    var isRequired = false
    /// The option beside which a required one may be left out.
    var requiredUnless: String?
  }

  struct Example: Sendable {
    /// What to type after `opsledger`.
    var line: String
    var meaning: String
  }

  var group: Group
  /// One word or two: `init`, `db start`.
  var name: String
  /// One line, no full stop.
  var summary: String
  var arguments: [Argument] = []
  var options: [Option] = []
  /// Paragraphs below the options: what can surprise.
  var notes: [String] = []
  var examples: [Example] = []
  var run: @Sendable (Invocation) throws(OpsError) -> ExitStatus
}

extension Command.Option {
  /// Understood by every command, before its name or after.
  static let global: [Command.Option] = [
    Command.Option(
      name: "database", value: "URL",
      help: "database of the ledger (else OPS_DATABASE_URL, DATABASE_URL, SUPABASE_URL, .opsledger)"
    ),
    Command.Option(
      name: "store", value: "DIR|s3://…", help: "a store of the ledger (else OPS_STORE)",
      repeats: true),
    Command.Option(name: "as", value: "NAME", help: "act under this name; your own is kept too"),
    Command.Option(name: "json", help: "print JSON on stdout"),
    Command.Option(name: "help", help: "say what a command does"),
  ]
}

extension Command {
  /// `opsledger db psql [--superuser] [PSQL-ARGUMENT…]`
  var usage: String {
    var parts = ["opsledger", name]
    for option in options {
      let text = option.value.map { "--\(option.name) \($0)" } ?? "--\(option.name)"
      let isNeeded = option.isRequired && option.requiredUnless == nil
      parts.append((isNeeded ? text : "[\(text)]") + (option.repeats ? "…" : ""))
    }
    for argument in arguments {
      let text = argument.name + (argument.repeats ? "…" : "")
      parts.append(argument.isOptional ? "[\(text)]" : text)
    }
    return parts.joined(separator: " ")
  }
}
