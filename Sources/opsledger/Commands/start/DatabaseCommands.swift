import Host
import JSON
import Ledger
import Log
import Postgres

/// `db start|stop|psql|url`: the private PostgreSQL, and access to the database of the commands.
enum DatabaseCommands {
  static let all = [start, stop, psql, url]

  static let start = Command(
    group: .start, name: "db start",
    summary: "start the private PostgreSQL, and make one in .opsledger if there is none",
    notes: [
      "It listens on a unix socket only, and keeps running. Its database is empty: opsledger init applies the schema. "
        + "OPSLEDGER_HOME names a directory to keep it in."
    ],
    examples: ["db start": "starts or makes the private PostgreSQL"]
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
      .flag("remove", "also delete it, with all its data; needs --yes"),
      .flag("yes", "confirm --remove"),
    ],
    examples: [
      "db stop": "stops it; the next command that needs it starts it again",
      "db stop --remove --yes": "deletes the database for good",
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
        "db stop --remove deletes \(cluster.folder) and \(cluster.dataDirectory) for good",
        hint: "to confirm: opsledger db stop --remove --yes")
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
    group: .start, name: "db psql", summary: "open psql on the database",
    arguments: [
      .init(name: "-- PSQL-ARGUMENT", help: "passed to psql", isOptional: true, repeats: true)
    ],
    options: [
      .flag("superuser", "log in as superuser of the private PostgreSQL, not as operator")
    ],
    examples: [
      "db psql": "opens a prompt",
      "db psql -- -c 'SELECT count(*) FROM ops_missions'": "runs one statement",
    ]
  ) { (call) throws(OpsError) in
    let asSuperuser = call.flag("superuser")
    let database = try call.findDatabase(
      asSuperuser ? .superuser : .person, creating: false, ignoresAddress: true)
    if asSuperuser && database.privatePostgres == nil {
      throw .badInput(
        "--superuser is for the private PostgreSQL, but a URL names the database",
        hint: "put the login into the URL")
    }
    Output.standard.flush()
    var environment = Environment.processVariables()
    // With these psql connects to another server in spite of the URL.
    for name in ["PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"] { environment[name] = nil }
    let (url, secrets) = try withoutSecrets(database)
    for (keyword, secret) in secrets {
      guard keyword == "password" else {
        throw .badInput(
          "psql takes \(keyword) only as an argument, which every user of the machine can read",
          hint: "run psql with a connection service file that has \(keyword)")
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
      "In the private PostgreSQL the login is operator. The URL has no password: programs read it from PGPASSWORD or "
        + "~/.pgpass, and db psql passes it on."
    ],
    examples: ["db url": "psql \"$(opsledger db url)\" opens the database"]
  ) { (call) throws(OpsError) in
    let database = try call.findDatabase(.person, creating: false, ignoresAddress: true)
    let (url, secrets) = try withoutSecrets(database)
    if !secrets.isEmpty {
      call.note("note: the URL lacks \(secrets.keys.sorted().joined(separator: ", "))")
    }
    call.print(url) { $0.string("url", url) }
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
    let verb = created ? "made and started" : started ? "started" : "running already"
    call.print("private PostgreSQL: \(verb)\n" + Facts.text(facts, indent: "  ")) { out in
      for (name, value) in facts { out.string(name, value) }
      out.bool("created", created)
      out.bool("started", started)
    }
    for orphan in PrivatePostgres.orphans() {
      call.note(
        "note: \(orphan) holds a private PostgreSQL whose .opsledger is gone; remove it if nobody needs it"
      )
    }
    let choice = try? DatabaseChoice.resolve(
      flag: call.text("database"), environment: call.environment)
    if case .url(_, let source) = choice {
      call.note(
        "note: \(source) names another database, which other commands use instead of this one")
    }
  }
}
