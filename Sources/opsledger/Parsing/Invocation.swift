import Host
import JSON
import Ledger
import Log

/// One call of a command: what was typed and what is set, read with the types that it wants.
final class Invocation {
  let command: Command
  private let parsed: Parser.Parsed
  let environment: Environment
  private var knownDatabase: [PrivatePostgres.Login: Database] = [:]
  /// Whether the person was told which database it is.
  private var isDatabaseNamed = false
  /// Which database of the private PostgreSQL is meant; the demo's, where there is no other ledger.
  private var privateDatabase = PrivatePostgres.databaseName
  /// The texts of the files that it read, which are part of what is asked.
  private var contents: [String] = []
  /// Whether ``asked(by:)`` was answered.
  private var isAsked = false

  init(_ command: Command, _ parsed: Parser.Parsed, _ environment: Environment) {
    self.command = command
    self.parsed = parsed
    self.environment = environment
  }

  // MARK: What was typed

  /// Arguments in order, without the command's own words.
  var arguments: [String] { parsed.arguments }

  /// An argument that the command declares as not optional.
  func argument(_ index: Int) -> String { parsed.arguments[index] }

  /// An argument that may be left out.
  func optionalArgument(_ index: Int) -> String? {
    parsed.arguments.indices.contains(index) ? parsed.arguments[index] : nil
  }

  func flag(_ name: String) -> Bool {
    requireDeclared(name)
    return parsed.flags.contains(name)
  }

  func text(_ name: String) -> String? { texts(name).first }

  func texts(_ name: String) -> [String] {
    requireDeclared(name)
    return parsed.values[name] ?? []
  }

  /// A number of an option, or nil where it was not given.
  func integer(_ name: String, in range: ClosedRange<Int>) throws(OpsError) -> Int? {
    guard let text = text(name) else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw .badInput(
        "--\(name) wants a number from \(range.lowerBound) to \(range.upperBound), not \(text)")
    }
    return number
  }

  /// A time of an option in milliseconds (`500ms`, `30s`, `5m`, `2h`, `1d`), or nil.
  func millis(_ name: String) throws(OpsError) -> Int? {
    guard let text = text(name) else { return nil }
    guard let millis = DurationText.parseMillis(text) else {
      throw .badInput("--\(name) wants a time like 30s, 5m or 2h, not \(text)")
    }
    return millis
  }

  /// What an option of the form `TEXT|@FILE|-` stands for, or nil where it was not given.
  func document(_ name: String) throws(OpsError) -> String? {
    guard let text = text(name) else { return nil }
    if text == "-" { return try content(ofFile: text) }
    return text.hasPrefix("@") ? try content(ofFile: String(text.dropFirst())) : text
  }

  /// The text of a file, `-` being standard input; of options of the form `F|-`.
  func content(ofFile path: String, bytesMax: Int = 16 << 20) throws(OpsError) -> String {
    let bytes: [UInt8]
    do throws(HostError) {
      bytes =
        try path == "-"
        ? FileSystem.readStandardInput(bytesMax: bytesMax)
        : FileSystem.read(path, bytesMax: bytesMax)
    } catch {
      throw .badInput(error.message)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .badInput("\(path == "-" ? "standard input" : path) is not UTF-8 text")
    }
    precondition(!isAsked, "\(command.name) reads a file after it was said what is asked")
    contents.append(text)
    return text
  }

  /// All that makes this request another one: the same key stands for nothing else.
  func asked(by actor: String) -> JSON {
    isAsked = true
    let options = command.options.filter { $0.name != Command.Option.key.name }
    let given: [(String, JSON)] = options.map { option in
      (
        option.name,
        option.value == nil
          ? .bool(parsed.flags.contains(option.name)) : .array(texts(option.name).map(JSON.string))
      )
    }
    return .object([
      "command": .string(command.name), "actor": .string(actor),
      "arguments": .array(arguments.map(JSON.string)),
      "options": .object(Dictionary(uniqueKeysWithValues: given)),
      "contents": .array(contents.map(JSON.string)),
    ])
  }

  /// A typing error of ours shows in the first test of a command, not in someone's shell.
  private func requireDeclared(_ name: String) {
    precondition(
      (command.options + Command.Option.global).contains { $0.name == name },
      "\(command.name) reads --\(name), which it does not declare")
  }

  // MARK: For every command

  var wantsJSON: Bool { flag("json") }

  /// Stores named on the command line, else the one of OPS_STORE, else none.
  func stores() throws(OpsError) -> [String] {
    let named = texts("store")
    // What an unset variable of a script gives would mean the working directory.
    if named.contains("") { throw .badInput("--store wants a directory or s3://BUCKET/PREFIX") }
    if !named.isEmpty { return named }
    return try environment.text(.store).map { [$0] } ?? []
  }

  /// Who acts: `cli/<user>@<host>`; under `--as NAME` that name, with who really sits there.
  var actor: String {
    get throws(OpsError) { try actor("cli/\(Machine.userName)@\(Machine.hostName)") }
  }

  /// The same for a part of the loop, which has a name of its own.
  func actor(_ own: String) throws(OpsError) -> String {
    guard let name = text("as") else { return own }
    guard (1...200).contains(name.utf8.count),
      !name.unicodeScalars.contains(where: { $0.value < 0x20 })
    else { throw .badInput("--as wants a name of 1 to 200 bytes, without control characters") }
    return "\(name) (\(own))"
  }

  /// Says something to the person, not to the pipe.
  func note(_ text: String) { Output.messages.line(Terminal.printable(text)) }

  // MARK: The database

  /// A database to connect to.
  struct Database: Sendable {
    /// For libpq.
    let url: String
    /// How long to try, in milliseconds.
    let connectTimeoutMillis: Int
    /// Set where it is the private one.
    let privatePostgres: PrivatePostgres?
  }

  /// The database that this command is about; the private one is started if it has to be, and
  /// named on stderr.
  ///
  /// - Parameters:
  ///   - login: who to be in the private one. A URL says that itself.
  ///   - creating: whether to make a private one where there is none: `init` and `demo` only.
  /// - Throws: `OPS_001` where there is none.
  func database(
    as login: PrivatePostgres.Login = .engine, creating: Bool = false
  ) throws(OpsError) -> Database {
    if let known = knownDatabase[login] { return known }
    let found = try findDatabase(login, creating: creating, ignoresAddress: false)
    if let cluster = found.privatePostgres, !isDatabaseNamed {
      note("database: private PostgreSQL in \(cluster.folder)")
      if cluster.programsWereReplaced {
        note(
          "warning: its programs were replaced while it runs, and it may fail to load libraries: "
            + "opsledger db stop, then db start")
      }
      isDatabaseNamed = true
    }
    knownDatabase[login] = found
    return found
  }

  func findDatabase(
    _ login: PrivatePostgres.Login, creating: Bool, ignoresAddress: Bool
  ) throws(OpsError) -> Database {
    let timeout = try environment.millis(.connectTimeout)
    let choice = try DatabaseChoice.resolve(
      flag: text("database"), environment: environment, ignoresAddress: ignoresAddress)
    switch choice {
    case .url(let url, _):
      return Database(url: url, connectTimeoutMillis: timeout, privatePostgres: nil)
    case .privatePostgres:
      let cluster = try creating ? makePrivatePostgres() : privatePostgres()
      try onHost { () throws(HostError) in try cluster.ensureStarted() }
      return Database(
        url: cluster.url(login: login, database: privateDatabase), connectTimeoutMillis: timeout,
        privatePostgres: cluster)
    }
  }

  /// From now on the demo's database is meant, where there is one: the private PostgreSQL holds no other ledger.
  ///
  /// - Returns: Whether there is one.
  func turnToDemo() throws(OpsError) -> Bool {
    guard privateDatabase != DemoCommand.databaseName, let cluster = try database().privatePostgres,
      (try? Session(
        Session.Target(
          url: cluster.url(login: .engine, database: DemoCommand.databaseName),
          application: "opsledger \(command.name)")
      ).requireLedger()) != nil
    else { return false }
    note(
      "ledger: the demo's, since it is the only one there; opsledger init begins one of your own")
    privateDatabase = DemoCommand.databaseName
    knownDatabase = [:]
    isDatabaseNamed = true
    return true
  }

  /// The private PostgreSQL in reach.
  func privatePostgres() throws(OpsError) -> PrivatePostgres {
    if let found = try findPrivatePostgres() { return found }
    let place = try environment.text(.home).map { "in \($0) (OPSLEDGER_HOME)" } ?? "in reach"
    throw .noDatabase(
      "no database: none is named, and there is no private one \(place)",
      hint: "say --database URL, set OPS_DATABASE_URL, or make a private one: opsledger db start")
  }

  /// The private PostgreSQL in reach, or nil. libpq's variables are meant for other servers: PGHOSTADDR or PGSERVICE
  /// would lead away from this one, and PGTZ or PGCHANNELBINDING could end every connection to it.
  func findPrivatePostgres() throws(OpsError) -> PrivatePostgres? {
    Environment.forget(prefix: "PG")
    let home = try environment.text(.home)
    return try onHost { () throws(HostError) in try PrivatePostgres.find(home: home) }
  }

  /// The private PostgreSQL in reach, or a new one here; running either way.
  func makePrivatePostgres() throws(OpsError) -> PrivatePostgres {
    if let found = try findPrivatePostgres() {
      try onHost { () throws(HostError) in try found.ensureStarted() }
      return found
    }
    let home = try environment.text(.home) ?? FileSystem.realPath(".") ?? "."
    note("making a private PostgreSQL in \(home), which takes a few seconds")
    return try onHost { () throws(HostError) in try PrivatePostgres.create(at: home) }
  }
}
