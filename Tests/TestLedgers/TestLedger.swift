public import Log
public import OpsLoop
import Postgres
public import Replay
import Synchronization
import TestSupport
import Threads

/// A ledger of a test's own: a database copied from a template with the schema laid and seeded.
public struct TestLedger: Sendable {
  public let database: String
  /// The superuser's.
  public let adminURL: String
  /// The engine's.
  public let url: String

  /// Runs `body` with a new ledger, and drops it afterwards.
  public static func with<Value>(_ body: (TestLedger) throws -> Value) throws -> Value {
    let name = TestServer.newName()
    try TestServer.create(name, template: try TestServer.template.get())
    defer { TestServer.drop(name) }
    return try body(TestLedger(name))
  }

  /// Runs `body` with a new ledger whose time passes where the test moves it, and hardly by itself.
  public static func withSlowClock<Value>(_ body: (TestLedger) throws -> Value) throws -> Value {
    try with { ledger in
      try ledger.execute(TestClock.slow)
      return try body(ledger)
    }
  }

  /// Runs `body` with a new database that has no schema, and drops it afterwards.
  public static func withEmptyDatabase<Value>(_ body: (TestLedger) throws -> Value) throws -> Value
  {
    // Roles belong to the server: whoever makes a ledger wants the engine's login.
    _ = try TestServer.template.get()
    let name = TestServer.newName()
    try TestServer.create(name)
    defer { TestServer.drop(name) }
    return try body(TestLedger(name))
  }

  /// Runs `body` with a copy of the database, which nobody has settled, and drops it afterwards.
  public func withCopy<Value>(_ body: (TestLedger) throws -> Value) throws -> Value {
    let name = TestServer.newName()
    try TestServer.copy(database, to: name)
    defer { TestServer.drop(name) }
    return try body(TestLedger(name))
  }

  init(_ database: String) throws {
    guard let server = TestServer.url else { throw TestFailure(TestServer.missing) }
    self.database = database
    adminURL = TestServer.url(server, database: database)
    url = TestServer.url(server, database: database, user: TestServer.engineLogin)
  }

  public var target: Session.Target { Session.Target(url: url, application: "test") }

  /// Runs `body` as a login of its own that is a member of one role, and drops it afterwards.
  public func withLogin<Value>(
    in role: String, _ body: (Session.Target) throws -> Value
  ) throws -> Value {
    guard let server = TestServer.url else { throw TestFailure(TestServer.missing) }
    let login = "\(role)_\(database)"
    try execute("CREATE ROLE \(login) LOGIN IN ROLE \(role)")
    defer { try? execute("DROP ROLE \(login)") }
    return try body(
      Session.Target(url: TestServer.url(server, database: database, user: login)))
  }

  public func session() throws -> Session { try Session(target) }

  public func adminSession() throws -> Session { try Session(Session.Target(url: adminURL)) }

  public func engine(
    _ actor: String = "test", _ settings: LoopSettings = LoopSettings()
  ) throws -> Engine {
    Engine(try session(), actor: actor, settings: settings)
  }

  /// As superuser, one or more statements.
  public func execute(_ sql: String) throws {
    let connection = try Connection(url: adminURL)
    defer { connection.close() }
    try connection.execute(sql)
  }

  /// As superuser, one or more statements that capture does not see: what only a superuser can do,
  /// who must switch off what guards the triggers first.
  public func executeOffTheRecord(_ sql: String) throws {
    try execute(TestCapture.off + ";\n" + sql + ";\n" + TestCapture.on)
  }

  /// As superuser, deletes events of the log, whose triggers stay off.
  public func deleteEvents(where condition: String) throws {
    try execute(
      """
      SET session_replication_role = replica; \(TestCapture.off);
      DO $$ DECLARE part regclass; BEGIN
        FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ledger.events'::regclass LOOP
          EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', part);
        END LOOP;
      END $$;
      ALTER TABLE ledger.events DISABLE TRIGGER ALL;
      DELETE FROM ledger.events WHERE \(condition);
      \(TestCapture.on)
      """)
  }

  /// As superuser: every row as one line, columns joined by `|`, NULL as nothing.
  public func lines(_ sql: String) throws -> [String] {
    let connection = try Connection(url: adminURL)
    defer { connection.close() }
    let rows = try connection.query(
      Statement(
        "SELECT concat_ws('|', VARIADIC a.v) FROM (\(sql)) AS q, LATERAL ("
          + "SELECT array_agg(coalesce(e.value, '') ORDER BY e.n) AS v FROM "
          + "json_each_text(to_json(q)) WITH ORDINALITY AS e(key, value, n)) AS a"))
    return try (0..<rows.count).map { try rows.text($0, 0) }
  }

  /// As superuser, one value.
  public func value(_ sql: String) throws -> String {
    let connection = try Connection(url: adminURL)
    defer { connection.close() }
    let rows = try connection.query(Statement("SELECT coalesce((\(sql))::text, '')"))
    return try rows.text(0, 0)
  }

  /// Waits until a session of this database is in this state of `pg_stat_activity`.
  public func wait(for what: String) throws {
    try waitUntil("a session with \(what)") {
      try count("pg_stat_activity WHERE datname = current_database() AND \(what)") > 0
    }
  }

  public func count(_ from: String) throws -> Int {
    guard let count = Int(try value("SELECT count(*) FROM \(from)")) else {
      throw TestFailure("no count of \(from)")
    }
    return count
  }

  public func moveClock(seconds: Double) throws { try execute(TestClock.move(seconds: seconds)) }

  public func verify() throws -> VerifyReport { try Verifier.run(target) }
}

/// Runs `body` so many times at once, each on a thread of its own, and gives what each came to.
public func atOnce<Value: Sendable>(
  _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
  let results = Mutex<[Int: Result<Value, any Error>]>([:])
  concurrently(count) { index in
    let result = Result { try body(index) }
    results.withLock { $0[index] = result }
  }
  let all = results.withLock { $0 }
  return try (0..<count).compactMap { try all[$0]?.get() }
}
