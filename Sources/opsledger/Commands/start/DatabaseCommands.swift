import Host
import JSON
import Ledger
import Log
import Postgres

/// `db start|stop|psql|url`: the private PostgreSQL, and a way into whichever database is used.
enum DatabaseCommands {
  static let all = [start, stop, psql, url]

  static let start = Command(
    group: .start, name: "db start",
    summary: "start the private PostgreSQL, and make one in .opsledger where there is none",
    notes: [
      "It is reached by a unix socket only, and goes on running. Its database is empty: "
        + "opsledger init lays the schema. OPSLEDGER_HOME names a directory to keep it in."
    ],
    examples: [.init(line: "db start", meaning: "make or start the one in reach")]
  ) { (call) throws(OpsError) in
    let found = try call.findPrivatePostgres()
    let wasRunning = found?.isRunning ?? false
    let cluster = try call.makePrivatePostgres()
    try report(cluster, call, created: found == nil, started: !wasRunning)
    return .fine
  }

  static let stop = Command(
    group: .start, name: "db stop", summary: "stop the private PostgreSQL",
    options: [
      .init(name: "remove", help: "delete it too, with everything in it; wants --yes"),
      .init(name: "yes", help: "yes, delete it"),
    ],
    examples: [
      .init(line: "db stop", meaning: "the next command that needs it starts it again"),
      .init(line: "db stop --remove --yes", meaning: "delete the database; nothing brings it back"),
    ]
  ) { (call) throws(OpsError) in
    let cluster = try call.privatePostgres()
    guard call.flag("remove") else {
      let ran = try onHost { () throws(HostError) in try cluster.stop() }
      stopped(
        cluster, call, wasRunning: ran,
        ran
          ? "stopped the PostgreSQL in \(cluster.folder)"
          : "the PostgreSQL in \(cluster.folder) was not running")
      return .fine
    }
    guard call.flag("yes") else {
      throw .badInput(
        "db stop --remove deletes \(cluster.folder) and \(cluster.dataDirectory) for ever",
        hint: "say so: opsledger db stop --remove --yes")
    }
    let wasRunning = cluster.isRunning
    try onHost { () throws(HostError) in try cluster.remove() }
    stopped(
      cluster, call, wasRunning: wasRunning,
      "removed \(cluster.folder) and \(cluster.dataDirectory)")
    return .fine
  }

  private static func stopped(
    _ cluster: PrivatePostgres, _ call: Invocation, wasRunning: Bool, _ note: String
  ) {
    call.note(note)
    guard call.wantsJSON else { return }
    Output.standard.line(
      JSON.object([
        "folder": .string(cluster.folder), "data": .string(cluster.dataDirectory),
        "stopped": .bool(wasRunning), "removed": .bool(call.flag("remove")),
      ]).text)
  }

  static let psql = Command(
    group: .start, name: "db psql", summary: "open psql in the database",
    arguments: [
      .init(name: "-- PSQL-ARGUMENT", help: "handed to psql", isOptional: true, repeats: true)
    ],
    options: [
      .init(name: "superuser", help: "as the superuser of the private PostgreSQL, not as operator")
    ],
    examples: [
      .init(line: "db psql", meaning: "look around"),
      .init(line: "db psql -- -c 'SELECT count(*) FROM ops_missions'", meaning: "ask one thing"),
    ]
  ) { (call) throws(OpsError) in
    let asSuperuser = call.flag("superuser")
    let database = try call.findDatabase(
      asSuperuser ? .superuser : .person, creating: false, ignoresAddress: true)
    if asSuperuser && database.privatePostgres == nil {
      throw .badInput(
        "--superuser is for the private PostgreSQL, and another database is named",
        hint: "name the login in its URL")
    }
    Output.standard.flush()
    var environment = Environment.processVariables()
    // These would send psql to another server in spite of the URL.
    for name in ["PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"] { environment[name] = nil }
    let (url, secrets) = try withoutSecrets(database)
    for (keyword, secret) in secrets {
      guard keyword == "password" else {
        throw .badInput(
          "psql takes \(keyword) by its arguments only, which every user of the machine can read",
          hint: "run psql with a connection service file, where \(keyword) can stand")
      }
      environment["PGPASSWORD"] = secret
    }
    let program = database.privatePostgres?.psql ?? "psql"
    let command = Subprocess(
      program, ["--dbname=\(url)"] + call.arguments, environment: environment)
    do throws(HostError) { try command.replaceProcess() } catch { throw OpsError(error) }
  }

  static let url = Command(
    group: .start, name: "db url", summary: "print the database's URL for libpq",
    notes: [
      "In the private PostgreSQL it logs in as db psql does, as operator. A password is left out: programs take it "
        + "from PGPASSWORD or from ~/.pgpass, and db psql hands it on."
    ],
    examples: [.init(line: "db url", meaning: "psql \"$(opsledger db url)\" opens it")]
  ) { (call) throws(OpsError) in
    let database = try call.findDatabase(.person, creating: false, ignoresAddress: true)
    let (url, secrets) = try withoutSecrets(database)
    if !secrets.isEmpty {
      call.note("note: left out: \(secrets.keys.sorted().joined(separator: ", "))")
    }
    Output.standard.line(call.wantsJSON ? JSON.object(["url": .string(url)]).text : url)
    return .fine
  }

  private static func withoutSecrets(
    _ database: Invocation.Database
  ) throws(OpsError) -> (rest: String, secrets: [String: String]) {
    do throws(PostgresError) { return try Connection.withoutSecrets(database.url) } catch {
      throw OpsError(database: error)
    }
  }

  private static func report(
    _ cluster: PrivatePostgres, _ call: Invocation, created: Bool, started: Bool
  ) throws(OpsError) {
    let facts = [
      ("folder", cluster.folder), ("data", cluster.dataDirectory),
      ("socket", cluster.socketDirectory), ("log", cluster.logFile),
      ("url", cluster.url(login: .person)),
    ]
    if call.wantsJSON {
      var fields = Dictionary(uniqueKeysWithValues: facts.map { ($0.0, JSON.string($0.1)) })
      fields["created"] = .bool(created)
      fields["started"] = .bool(started)
      Output.standard.line(JSON.object(fields).text)
    } else {
      let verb = created ? "made and started" : started ? "started" : "running already"
      Output.standard.line("private PostgreSQL: \(verb)")
      for (name, value) in facts {
        let gap = String(repeating: " ", count: 8 - name.count)
        Output.standard.line("  \(name)\(gap)\(value)")
      }
    }
    for orphan in PrivatePostgres.orphans() {
      call.note(
        "note: \(orphan) holds a database whose folder is gone; remove it if nobody needs it")
    }
    let choice = try? DatabaseChoice.resolve(
      flag: call.text("database"), environment: call.environment)
    if case .url(_, let source) = choice {
      call.note("note: \(source) is set, so other commands use that database and not this one")
    }
  }
}
