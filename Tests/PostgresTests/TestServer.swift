import Glibc
import Postgres
import Testing

/// The scratch server that these tests may do anything to: a superuser's URL in the environment.
enum TestServer {
  static let variable = "OPS_TEST_DATABASE_URL"

  static var url: String? {
    getenv(variable).map { String(cString: $0) }
  }

  static var comment: Comment { "\(variable) names no scratch server (a superuser's URL)" }

  /// Runs `body` with a new database, and drops it afterwards.
  static func withDatabase<Value>(_ body: (_ url: String) throws -> Value) throws -> Value {
    let url = try #require(Self.url)
    var generator = SystemRandomNumberGenerator()
    let name = "test_\(String(generator.next() as UInt64, radix: 36))"
    let admin = try Connection(url: url)
    try admin.execute("CREATE DATABASE \(quoteIdentifier(name)) TEMPLATE template0")
    defer { try? admin.execute("DROP DATABASE \(quoteIdentifier(name)) WITH (FORCE)") }
    return try body(replacingDatabase(in: url, with: name))
  }

  /// Runs `body` with a session whose tables are its own: they are temporary, which takes a
  /// hundredth of the time of a database.
  static func withConnection<Value>(_ body: (Connection) throws -> Value) throws -> Value {
    let connection = try Connection(
      url: try #require(Self.url), settings: [("search_path", "pg_temp")])
    defer { connection.close() }
    return try body(connection)
  }

  /// The lines of a `COPY … TO STDOUT` in text format.
  static func lines(of sql: String, on connection: Connection) throws -> [String] {
    let reader = try connection.copyReader(sql)
    var lines: [String] = []
    while let bytes = try reader.nextRaw() { lines.append(String(decoding: bytes, as: UTF8.self)) }
    return lines
  }

  /// A later `dbname` in the query goes before the path's.
  static func replacingDatabase(in url: String, with name: String) -> String {
    url + (url.contains("?") ? "&" : "?") + "dbname=\(name)"
  }
}

extension Trait where Self == ConditionTrait {
  static var needsServer: Self { .enabled(if: TestServer.url != nil, TestServer.comment) }
}

extension Parameters {
  static func with(_ build: (inout Parameters) -> Void) -> Parameters {
    var parameters = Parameters()
    build(&parameters)
    return parameters
  }
}
