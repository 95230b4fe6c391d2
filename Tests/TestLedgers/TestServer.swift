import CSchema
import Crypto
import Glibc
import Log
public import Postgres
import TestSupport

/// The scratch server that tests may do anything to: a superuser's URL in the environment.
public enum TestServer {
  public static let variable = "OPS_TEST_DATABASE_URL"

  public static var url: String? { getenv(variable).map { String(cString: $0) } }

  public static var missing: String {
    "\(variable) names no scratch server (a superuser's URL)"
  }

  /// A login that is what the binary's login is: a member of opsledger_engine and no more.
  static let engineLogin = "opsledger_test_engine"

  /// Of two values of one name in a URL's query the later counts.
  public static func url(_ url: String, database: String, user: String? = nil) -> String {
    url + (url.contains("?") ? "&" : "?") + "dbname=\(database)"
      + (user.map { "&user=\($0)" } ?? "")
  }

  public static func connect() throws -> Connection {
    guard let url else { throw TestFailure(missing) }
    return try Connection(url: url, settings: [("client_min_messages", "warning")])
  }

  /// Makes an empty database.
  public static func create(_ name: String, template: String = "template0") throws {
    try copy(template, to: name)
    if template != "template0" { try settle(name) }
  }

  /// Makes a database that is a copy of another.
  static func copy(_ template: String, to name: String) throws {
    let admin = try connect()
    // Two copies of one template wait for each other's connection to it to end.
    try waitUntil("nobody else copies \(template)") {
      do throws(PostgresError) {
        try admin.execute("CREATE DATABASE \(name) TEMPLATE \(template)")
        return true
      } catch {
        guard error.sqlstate == "55006" else { throw error }
        return false
      }
    }
  }

  /// A copy is refused until it is settled: what `restore` does.
  private static func settle(_ name: String) throws(PostgresError) {
    guard let url else { return }
    let connection = try Connection(url: self.url(url, database: name))
    try connection.execute("SELECT ledger.adopt_instance(0)")
    connection.close()
  }

  public static func drop(_ name: String) {
    try? connect().execute("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
  }

  public static func newName() -> String {
    "test_" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
  }

  /// The template that ledgers are copied from: made once for each state of schema and clock, and
  /// kept on the scratch server.
  static let template = Result { try makeTemplate() }

  private static func makeTemplate() throws -> String {
    guard let url else { throw TestFailure(missing) }
    let name = "opsledger_template_" + schemaDigest.prefix(16)
    let admin = try connect()
    try admin.execute("SELECT pg_advisory_lock(19796, 4)")
    defer { admin.close() }
    let known = try admin.query(
      Statement("SELECT count(*) FROM pg_database WHERE datname = $1::text"), .texts(name))
    if try known.int8(0, 0) > 0 { return name }
    let draft = name + "_draft"
    try admin.execute("DROP DATABASE IF EXISTS \(draft) WITH (FORCE)")
    try admin.execute("CREATE DATABASE \(draft) TEMPLATE template0")
    let session = try Session(Session.Target(url: self.url(url, database: draft)))
    _ = try Installer.run(session, name: "test", actor: "test")
    try session.connection().execute(TestClock.install)
    session.drop()
    let login = try admin.query(
      Statement("SELECT count(*) FROM pg_roles WHERE rolname = $1::text"), .texts(engineLogin))
    if try login.int8(0, 0) == 0 {
      try admin.execute("CREATE ROLE \(engineLogin) LOGIN IN ROLE opsledger_engine")
    }
    try admin.execute("ALTER DATABASE \(draft) RENAME TO \(name)")
    return name
  }

  private static var schemaDigest: String {
    var text = TestClock.install
    for (start, count) in [
      (opsledger_schema_sql(), opsledger_schema_sql_count()),
      (opsledger_schema_policies(), opsledger_schema_policies_count()),
    ] {
      for file in UnsafeBufferPointer(start: start, count: count) {
        text += String(
          decoding: UnsafeBufferPointer(start: file.bytes, count: file.length), as: UTF8.self)
      }
    }
    return SHA256.hash(text).hex
  }
}

/// Why a test could not be run, or what it found that is no expectation.
public struct TestFailure: Error, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}

extension Parameters {
  /// Text parameters, in order.
  public static func texts(_ values: String...) -> Parameters {
    var parameters = Parameters()
    for value in values { parameters.text(value) }
    return parameters
  }
}
