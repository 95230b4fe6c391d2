import Host
import JSON
import Ledger
import Log

/// One call of a command: reads what was typed, and the settings, as the types that the command needs.
final class Invocation {
  let command: Command
  private let parsed: Parser.Parsed
  let environment: Environment
  private var knownDatabase: [PrivatePostgres.Login: Database] = [:]
  /// Whether a note has named the database.
  private var isDatabaseNamed = false
  /// The database in the private PostgreSQL: the demo's, where there is no other ledger.
  private var privateDatabase = PrivatePostgres.databaseName
  /// The texts of the files that the command read, which belong to the request.
  private var contents: [String] = []
  /// Whether ``asked(by:)`` has been called.
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

  func flag(_ name: String) -> Bool {
    requireDeclared(name)
    return parsed.flags.contains(name)
  }

  func text(_ name: String) -> String? { texts(name).first }

  func texts(_ name: String) -> [String] {
    requireDeclared(name)
    return parsed.values[name] ?? []
  }

  /// An option that is a number; nil where it was not given.
  func integer(_ name: String, in range: ClosedRange<Int>) throws(OpsError) -> Int? {
    guard let text = text(name) else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw .badInput(
        "--\(name) needs a number from \(range.lowerBound) to \(range.upperBound), not \(text)")
    }
    return number
  }

  /// An option that is a duration (`500ms`, `30s`, `5m`, `2h`, `1d`), in milliseconds.
  func millis(_ name: String) throws(OpsError) -> Int? {
    guard let text = text(name) else { return nil }
    guard let millis = DurationText.parseMillis(text) else {
      throw .badInput("--\(name) needs a duration like 30s, 5m or 2h, not \(text)")
    }
    return millis
  }

  /// The text of an option of the form `TEXT|@FILE|-`; nil where it was not given.
  func document(_ name: String) throws(OpsError) -> String? {
    guard let text = text(name) else { return nil }
    if text == "-" { return try content(ofFile: text) }
    return text.hasPrefix("@") ? try content(ofFile: String(text.dropFirst())) : text
  }

  /// The text of a file, or of standard input for `-`.
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
    precondition(!isAsked, "\(command.name) reads a file after asked(by:)")
    contents.append(text)
    return text
  }

  /// The JSON in the file of `--file`, by default standard input.
  func jsonFile(bytesMax: Int) throws(OpsError) -> JSON {
    let path = text("file") ?? "-"
    let text = try content(ofFile: path, bytesMax: bytesMax)
    return try EventCommands.parse(text, path == "-" ? "standard input" : path)
  }

  /// Everything that tells this request from others: an idempotency key stands for one request only.
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

  /// An option that a command reads and does not declare stops the first test of the command.
  private func requireDeclared(_ name: String) {
    precondition(
      (command.options + Command.Option.global).contains { $0.name == name },
      "\(command.name) reads --\(name), which it does not declare")
  }

  // MARK: For every command

  var wantsJSON: Bool { flag("json") }

  /// The stores of the command line, else the one of OPS_STORE, else none.
  func stores() throws(OpsError) -> [String] {
    let named = texts("store")
    // A script's unset variable would otherwise name the working directory.
    if named.contains("") { throw .badInput("--store needs a directory or s3://BUCKET/PREFIX") }
    if !named.isEmpty { return named }
    return try environment.text(.store).map { [$0] } ?? []
  }

  var actor: String {
    get throws(OpsError) { try actor(nil) }
  }

  /// Who acts: `cli/<user>@<host>`, or a part of the loop. `--as NAME` is put in front.
  func actor(_ part: String?) throws(OpsError) -> String {
    let own = part ?? "cli/\(Machine.userName)@\(Machine.hostName)"
    guard let name = text("as") else { return own }
    guard (1...200).contains(name.utf8.count),
      !name.unicodeScalars.contains(where: { $0.value < 0x20 })
    else { throw .badInput("--as needs a name of 1 to 200 bytes, without control characters") }
    return "\(name) (\(own))"
  }

  /// Writes a line to stderr.
  func note(_ text: String) { Output.messages.line(Terminal.printable(text)) }

  // MARK: The database

  /// A database to connect to.
  struct Database: Sendable {
    /// For libpq.
    let url: String
    let connectTimeoutMillis: Int
    /// Nil for a database that a URL names.
    let privatePostgres: PrivatePostgres?
  }

  /// The database that this command uses. Starts the private PostgreSQL if need be, and names it on stderr.
  ///
  /// - Parameters:
  ///   - login: The login in the private PostgreSQL. A URL has its own.
  ///   - creating: Whether to make a private PostgreSQL where there is none: only `init` and `demo` do.
  /// - Throws: `OPS_001` where there is no database.
  func database(
    as login: PrivatePostgres.Login = .engine, creating: Bool = false
  ) throws(OpsError) -> Database {
    if let known = knownDatabase[login] { return known }
    let found = try findDatabase(login, creating: creating, ignoresAddress: false)
    if let cluster = found.privatePostgres, !isDatabaseNamed {
      note("database: private PostgreSQL in \(cluster.folder)")
      if cluster.programsWereReplaced {
        note(
          "warning: its programs were replaced while it ran, and it may fail to load libraries: run "
            + "opsledger db stop, then opsledger db start")
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

  /// Turns to the demo's ledger, where the private PostgreSQL has no other.
  ///
  /// - Returns: Whether there is a demo's ledger.
  func turnToDemo() throws(OpsError) -> Bool {
    guard privateDatabase != DemoCommand.databaseName, let cluster = try database().privatePostgres,
      (try? Session(
        Session.Target(
          url: cluster.url(login: .engine, database: DemoCommand.databaseName),
          application: "opsledger \(command.name)")
      ).requireLedger()) != nil
    else { return false }
    note(
      "ledger: the demo's, the only one there; opsledger init makes one of your own")
    privateDatabase = DemoCommand.databaseName
    knownDatabase = [:]
    isDatabaseNamed = true
    return true
  }

  /// The private PostgreSQL of this directory, or of one above.
  func privatePostgres() throws(OpsError) -> PrivatePostgres {
    if let found = try findPrivatePostgres() { return found }
    let place =
      try environment.text(.home).map { "in \($0) (OPSLEDGER_HOME)" }
      ?? "here or in a parent directory"
    throw .noDatabase(
      "no database is named, and there is no private PostgreSQL \(place)",
      hint:
        "name one with --database URL or OPS_DATABASE_URL, or make a private one: opsledger init")
  }

  /// The private PostgreSQL, or nil. Forgets libpq's variables, which are meant for other servers: PGHOSTADDR or
  /// PGSERVICE would lead to another server, and PGTZ or PGCHANNELBINDING could end every connection.
  func findPrivatePostgres() throws(OpsError) -> PrivatePostgres? {
    Environment.forget(prefix: "PG")
    let home = try environment.text(.home)
    return try onHost { () throws(HostError) in try PrivatePostgres.find(home: home) }
  }

  /// The private PostgreSQL, or a new one; it runs.
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
