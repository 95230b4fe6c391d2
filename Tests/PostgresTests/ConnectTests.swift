import Glibc
import Postgres
import TestSupport
import Testing

@Suite struct ConnectTests {
  @Test(
    "no error repeats a password, however broken the URL",
    arguments: [
      "postgres://ann:hunter2secret@127.0.0.1:1/db",
      "postgres://ann:hunter2secret@no-such-host.invalid/db",
      "postgres://ann:x@hunter2secret@127.0.0.1:1/db",
      "postgres://ann:x/hunter2secret@127.0.0.1:1/db",
      "postgres://ann:hunter2secret%zz@127.0.0.1:1/db",
      "postgres://ann:hunter2secret@127.0.0.1:1/db?no_such_option=1",
      "postgres://ann:hunter2secret",
      "postgres://ann:hunter2secret/db",
      "postgres://ann@127.0.0.1:1/db?password=hunter2secret",
      "postgres://ann@127.0.0.1:1/db?passwort=hunter2secret",
      "host=127.0.0.1 port=1 password=hunter2secret",
      "host=127.0.0.1 port=1 password='hunter2secret",
      "host=127.0.0.1 port=1 password=x hunter2secret",
      "password=hunter2secret host=/no/such/directory",
      "postgres://ann:1/x?c\"hunter2secret@h/d",
      "postgres://ann@127.0.0.1:1/db?password=x&\"hunter2secret",
      "host=127.0.0.1 port=1 password=x \"hunter2secret",
    ])
  func passwordStaysSecret(url: String) throws {
    let error = #expect(throws: PostgresError.self) {
      try Connection(url: url, connectTimeoutSeconds: 2)
    }
    #expect(error?.kind == .connect)
    #expect(error.map { "\($0)".contains("hunter2secret") } == false)
    #expect(error?.message.isEmpty == false)
  }

  @Test("a host that accepts and says nothing is given up within the timeout")
  func silentHost() throws {
    let silent = try SilentServer()
    let started = ContinuousClock.now
    let error = #expect(throws: PostgresError.self) {
      try Connection(
        url: "postgres://ann@127.0.0.1:\(silent.port)/db", connectTimeoutSeconds: 1)
    }
    let elapsed = ContinuousClock.now - started
    #expect(error?.kind == .connect)
    #expect(elapsed > .milliseconds(900) && elapsed < .seconds(300), "\(elapsed)")
  }

  @Test("a name that nobody answers for is given up within the timeout")
  func unknownName() throws {
    let started = ContinuousClock.now
    #expect(throws: PostgresError.self) {
      try Connection(url: "postgres://ann@no-such-host.invalid/db", connectTimeoutSeconds: 1)
    }
    #expect(ContinuousClock.now - started < .seconds(300))
  }

  @Test("a server that answers nonsense is an error, not a hang")
  func nonsense() throws {
    let error = #expect(throws: PostgresError.self) {
      try Connection(url: "host=/tmp port=bad")
    }
    #expect(error?.kind == .connect)
  }

  @Test("a silent host is left out, and the next one answers", .needsServer)
  func silentThenGood() throws {
    let silent = try SilentServer()
    let (host, port, user) = try Self.good()
    for (hosts, ports) in [
      ("127.0.0.1,\(host)", "\(silent.port),\(port)"),
      ("\(host),127.0.0.1", "\(port),\(silent.port)"),
    ] {
      let connection = try patiently(from: 4) { seconds in
        try Connection(
          url: "host=\(hosts) port=\(ports) user=\(user) dbname=postgres",
          connectTimeoutSeconds: Int(seconds))
      }
      #expect(connection.host == host)
    }
  }

  @Test("a refused host is passed over at once, and target_session_attrs is obeyed", .needsServer)
  func severalHosts() throws {
    let (host, port, user) = try Self.good()
    let list = "host=127.0.0.1,\(host) port=1,\(port) user=\(user) dbname=postgres"
    _ = try Connection(url: list + " target_session_attrs=read-write")
    let error = #expect(throws: PostgresError.self) {
      try Connection(url: list + " target_session_attrs=standby")
    }
    #expect(error?.message.contains("standby") == true)
  }

  @Test("what the server refuses at the door has the server's code", .needsServer)
  func refusedAtTheDoor() throws {
    let url = try #require(TestServer.url)
    let database = #expect(throws: PostgresError.self) {
      try Connection(url: TestServer.replacingDatabase(in: url, with: "no_such_database"))
    }
    #expect(database?.kind == .connect)
    #expect(database?.sqlstate == "3D000")
    #expect(database?.message.contains("LOCATION") == false)
    #expect(
      database?.message.hasSuffix("FATAL:  database \"no_such_database\" does not exist") == true)
  }

  @Test("settings apply, lists too, and a wrong one fails the connecting", .needsServer)
  func settings() throws {
    let url = try #require(TestServer.url)
    let connection = try Connection(
      url: url, applicationName: "it's me",
      settings: [
        ("search_path", "pg_catalog, pg_temp"), ("plan_cache_mode", "force_generic_plan"),
        ("lock_timeout", "1234ms"), ("ops.note", "it's \\ \"quoted\""),
      ])
    let rows = try connection.query(
      Statement(
        """
        SELECT (current_schemas(false))[1]::text, current_setting('plan_cache_mode'),
          current_setting('lock_timeout'), current_setting('ops.note'),
          current_setting('application_name'), current_setting('client_encoding')
        """))
    #expect(try rows.text(0, 0) == "pg_catalog")
    #expect(try rows.text(0, 1) == "force_generic_plan")
    #expect(try rows.text(0, 2) == "1234ms")
    #expect(try rows.text(0, 3) == "it's \\ \"quoted\"")
    #expect(try rows.text(0, 4) == "it's me")
    #expect(try rows.text(0, 5) == "UTF8")
    #expect(connection.serverVersion >= 150_000)
    #expect(connection.backendPID > 0)
    let error = #expect(throws: PostgresError.self) {
      try Connection(url: url, settings: [("no_such_setting", "1"), ("lock_timeout", "soon")])
    }
    #expect(error?.sqlstate == "22023")
  }

  /// Host, port and user of the scratch server.
  static func good() throws -> (host: String, port: String, user: String) {
    let connection = try Connection(url: try #require(TestServer.url))
    return (connection.host, connection.port, connection.user)
  }
}

/// Listens on 127.0.0.1, lets anyone connect, and never says a word.
final class SilentServer {
  let port: UInt16
  private let descriptor: Int32

  init() throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.descriptor = descriptor
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listening = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(descriptor, address, length) == 0 && Glibc.listen(descriptor, 8) == 0
          && getsockname(descriptor, address, &length) == 0
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    try #require(descriptor >= 0 && listening)
  }

  deinit { Glibc.close(descriptor) }
}
