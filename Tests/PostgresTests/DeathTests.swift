import Postgres
import Synchronization
import TestSupport
import Testing
import Threads

/// Connections that die, at every point where one can.
@Suite(.needsServer) struct DeathTests {
  static let terminate = Statement("SELECT pg_terminate_backend($1::int, 300000)")

  /// Whether a backend is in `pg_sleep`.
  static let sleeps = Statement(
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1::int AND wait_event = 'PgSleep')")

  /// Ends the other connection's backend and waits until it is gone.
  static func kill(_ victim: Connection, from url: String) throws {
    let killer = try Connection(url: url)
    defer { killer.close() }
    let pid = victim.backendPID
    #expect(try killer.query(terminate, .with { $0.int4(pid) }).bool(0, 0))
  }

  @Test("a connection killed while idle is lost before anything is sent, with the reason")
  func idle() throws {
    try TestServer.withDatabase { (url) throws in
      let victim = try Connection(url: url)
      try victim.execute("SELECT 1")
      try Self.kill(victim, from: url)
      let error = #expect(throws: PostgresError.self) { try victim.query(Statement("SELECT 1")) }
      #expect(error?.kind == .connectionLost)
      #expect(error?.mayHaveSent == false)
      #expect(error?.sqlstate == "57P01")
      #expect(victim.isBroken)
      #expect(victim.transactionStatus == .unknown)
      let again = #expect(throws: PostgresError.self) { try victim.execute("SELECT 1") }
      #expect(again?.kind == .connectionLost && again?.mayHaveSent == false)
      victim.close()
      victim.close()
      let closed = #expect(throws: PostgresError.self) { try victim.execute("SELECT 1") }
      #expect(closed?.kind == .connectionLost)
    }
  }

  @Test("a connection killed at work is lost, and what was sent may have been done")
  func inPipeline() throws {
    try TestServer.withDatabase { (url) throws in
      let victim = try Connection(url: url)
      let suicide = Statement("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
      let one = Statement("SELECT 1")
      let error = #expect(throws: PostgresError.self) {
        try victim.pipeline([(one, Parameters()), (suicide, Parameters()), (one, Parameters())])
      }
      #expect(error?.kind == .connectionLost)
      #expect(error?.mayHaveSent == true)
      #expect(error?.statementIndex == 1)
      #expect(error?.sqlstate == "57P01")
      #expect(victim.isBroken)
    }
  }

  @Test("a connection killed during a simple statement is lost")
  func inExecute() throws {
    try TestServer.withDatabase { (url) throws in
      let victim = try Connection(url: url)
      let error = #expect(throws: PostgresError.self) {
        try victim.execute("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
      }
      #expect(error?.kind == .connectionLost && error?.mayHaveSent == true)
    }
  }

  @Test("a connection killed in the middle of a COPY out is lost", .timeLimit(.minutes(10)))
  func inCopyOut() throws {
    try TestServer.withDatabase { (url) throws in
      let victim = try Connection(url: url)
      let reader = try victim.copyReader(
        "COPY (SELECT generate_series(1, 10000000)) TO STDOUT (FORMAT binary)")
      _ = try reader.next()
      try Self.signal(victim, from: url)
      let error = #expect(throws: PostgresError.self) {
        while let row = try reader.next() { _ = row.count }
      }
      #expect(error?.kind == .connectionLost)
      #expect(victim.isBroken)
    }
  }

  @Test("a connection killed in the middle of a COPY in is lost", .timeLimit(.minutes(10)))
  func inCopyIn() throws {
    try TestServer.withDatabase { (url) throws in
      let victim = try Connection(url: url)
      try victim.execute("CREATE TABLE t (a int)")
      let writer = try victim.copyIn("COPY t FROM STDIN (FORMAT binary)")
      try Self.signal(victim, from: url)
      let error = #expect(throws: PostgresError.self) {
        for row in 0..<10_000_000 {
          try writer.row(1)
          writer.int4(Int32(row))
        }
        try writer.finish()
      }
      #expect(error?.kind == .connectionLost)
    }
  }

  /// Does not wait: a backend that is blocked in sending goes only once its reader is.
  private static func signal(_ victim: Connection, from url: String) throws {
    let killer = try Connection(url: url)
    defer { killer.close() }
    let pid = victim.backendPID
    try killer.query(Statement("SELECT pg_terminate_backend($1::int)"), .with { $0.int4(pid) })
  }

  @Test(
    "the token cancels from another thread, and the connection goes on", .timeLimit(.minutes(10)))
  func cancelled() throws {
    let url = try #require(TestServer.url)
    let connection = try Connection(url: url)
    let token = try connection.cancelToken()
    let pid = connection.backendPID
    let said = Mutex<Result<Void, any Error>?>(nil)
    let asks = startThread {
      let result = Result {
        let watcher = try Connection(url: url)
        try waitUntil("the statement runs") {
          try watcher.query(Self.sleeps, .with { $0.int4(pid) }).bool(0, 0)
        }
        try token.cancel()
      }
      said.withLock { $0 = result }
    }
    #expect(asks)
    let error = #expect(throws: PostgresError.self) {
      try connection.execute("SELECT pg_sleep(3600)")
    }
    try waitUntil("the token was used") { said.withLock { $0 != nil } }
    try said.withLock { $0 }?.get()
    #expect(error?.sqlstate == "57014")
    #expect(error?.kind == .server)
    try connection.execute("SELECT 1")
    connection.close()
    #expect(throws: PostgresError.self) { try connection.cancelToken() }
    try token.cancel()
  }

  @Test("a lock timeout is told from other errors")
  func lockTimeout() throws {
    try TestServer.withDatabase { (url) throws in
      let holder = try Connection(url: url)
      defer { holder.close() }  // Without a later use it would be closed right away.
      let waiter = try Connection(url: url, settings: [("lock_timeout", "50ms")])
      try holder.execute("CREATE TABLE t (a int)")
      try holder.execute("BEGIN; LOCK TABLE t")
      let error = #expect(throws: PostgresError.self) {
        try waiter.query(Statement("SELECT * FROM t"))
      }
      #expect(error?.isLockTimeout == true)
    }
  }

  @Test("notifications arrive, in order, and waiting for none ends in time")
  func notifications() throws {
    try TestServer.withDatabase { (url) throws in
      let listener = try Connection(url: url)
      let sender = try Connection(url: url)
      try listener.listen("odd \"name\"")
      #expect(try listener.waitForNotifications(timeoutMillis: 20).isEmpty)
      try sender.execute(#"NOTIFY "odd ""name""", 'one'; NOTIFY "odd ""name""", 'two'"#)
      let found = try listener.waitForNotifications(timeoutMillis: 300_000)
      #expect(found.map(\.payload) == ["one", "two"])
      #expect(found.first?.channel == "odd \"name\"")
      #expect(found.first?.senderPID == sender.backendPID)
      try Self.kill(listener, from: url)
      let error = #expect(throws: PostgresError.self) {
        while true { _ = try listener.waitForNotifications(timeoutMillis: 300_000) }
      }
      #expect(error?.kind == .connectionLost)
    }
  }
}
