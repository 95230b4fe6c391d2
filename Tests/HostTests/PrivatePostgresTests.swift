import Glibc
import Synchronization
import TestSupport
import Testing
import Threads

@testable import Host

/// Runs a body in a directory, and takes away whatever private PostgreSQL it leaves there.
private func withHome(
  _ name: String = "home", under parent: String? = nil, _ body: (String) throws -> Void
) throws {
  try withTemporaryDirectory { directory in
    let home = "\(parent ?? directory)/\(name)"
    try FileSystem.makeDirectory(home, mode: 0o755, parents: true)
    defer { _ = try? PrivatePostgres.find(home: home)?.remove() }
    try body(home)
  }
}

private func ask(
  _ cluster: PrivatePostgres, _ query: String, as login: PrivatePostgres.Login = .person
) throws -> String {
  let command = Subprocess(
    cluster.psql, ["-X", "-A", "-t", "-c", query, cluster.url(login: login)],
    timeoutMillis: 600_000)
  let result = try command.run()
  guard result.succeeded else { throw HostError(.unusable, result.errorText) }
  return String(result.outputText.dropLast())
}

private let hasPostgres = (try? PostgresPrograms.find()) != nil

@Suite("the private PostgreSQL", .enabled(if: hasPostgres), .serialized)
struct PrivatePostgresTests {
  @Test("it is made once, found from below, stopped and started again")
  func life() throws {
    try withHome { home in
      #expect(try PrivatePostgres.find(home: home) == nil)
      let cluster = try PrivatePostgres.create(at: home)
      #expect(cluster.isRunning)
      #expect(try cluster.ensureStarted() == false)
      try FileSystem.makeDirectory(home + "/a/b", parents: true)
      let found = try #require(try PrivatePostgres.find(from: home + "/a/b"))
      #expect(found.folder == cluster.folder)
      #expect(try PrivatePostgres.create(at: home).record == cluster.record)
      #expect(try ask(cluster, "SELECT current_user", as: .engine) == "opsledger")
      #expect(try ask(cluster, "CREATE TABLE t (); SELECT 1", as: .superuser) == "CREATE TABLE\n1")
      #expect(try cluster.stop())
      #expect(!cluster.isRunning)
      #expect(try cluster.stop() == false)
      #expect(try cluster.ensureStarted())
      #expect(try ask(cluster, "SELECT count(*) FROM t", as: .superuser) == "0")
    }
  }

  @Test("its logins are members of the roles they need, and nobody else gets in")
  func logins() throws {
    try withHome { home in
      let cluster = try PrivatePostgres.create(at: home)
      let query = """
        SELECT string_agg(m.rolname || '<' || r.rolname, ' ' ORDER BY m.rolname, r.rolname)
        FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles r ON r.oid = a.roleid
        WHERE r.rolname ~ '^opsledger'
        """
      #expect(
        try ask(cluster, query)
          == "operator<opsledger_operator operator<opsledger_tables opsledger<opsledger_engine")
      #expect(try ask(cluster, "SHOW listen_addresses").isEmpty)
      #expect(try ask(cluster, "SHOW fsync") == "on")
      #expect(try ask(cluster, "SHOW server_encoding; SHOW lc_collate") == "UTF8\nC.UTF-8")
      #expect(FileSystem.status(cluster.socketDirectory)?.mode == 0o700)
      #expect(FileSystem.status(cluster.dataDirectory)?.mode == 0o700)
    }
  }

  @Test("two that make it at once end with the same one")
  func madeTwice() throws {
    try withHome { home in
      let made = Mutex<[String]>([])
      concurrently(3) { _ in
        let cluster = try? PrivatePostgres.create(at: home, durable: false)
        made.withLock { $0.append(cluster?.record.id ?? "failed") }
      }
      let ids = made.withLock { $0 }
      #expect(ids.count == 3 && Set(ids).count == 1 && ids[0] != "failed")
    }
  }

  @Test("two that start it at once start it once")
  func startedTwice() throws {
    try withHome { home in
      let cluster = try PrivatePostgres.create(at: home, durable: false)
      try cluster.stop()
      let starts = Mutex<[Bool?]>([])
      concurrently(3) { _ in
        let started = try? cluster.ensureStarted()
        starts.withLock { $0.append(started) }
      }
      let answers = starts.withLock { $0 }
      #expect(answers.count { $0 == true } == 1 && answers.count { $0 == false } == 2)
    }
  }

  @Test("a server that was killed is started again, also while a child of it is still busy")
  func killed() throws {
    try withHome { home in
      let cluster = try PrivatePostgres.create(at: home, durable: false)
      try? FileSystem.write("", to: home + "/note")
      let isOver = Mutex(false)
      let asks = startThread {
        _ = try? ask(cluster, "SELECT count(*) FROM generate_series(1, 6000000)")
        isOver.withLock { $0 = true }
      }
      #expect(asks)
      try waitUntil("a busy child") {
        let busy = "state = 'active' AND query LIKE '%6000000%' AND pid <> pg_backend_pid()"
        return try isOver.withLock { $0 }
          || ask(cluster, "SELECT count(*) FROM pg_stat_activity WHERE \(busy)") != "0"
      }
      let pid = try #require(ServerProcess.state(cluster.dataDirectory).pid)
      kill(pid, SIGKILL)
      try waitUntil("the server has ended") { !ServerProcess.isAlive(pid) }
      #expect(!cluster.isRunning)
      #expect(try cluster.ensureStarted())
      #expect(try ask(cluster, "SELECT 1") == "1")
      try waitUntil("the busy child's client has ended") { isOver.withLock { $0 } }
    }
  }

  @Test("a number that a stale postmaster.pid names, and another process has, is no server")
  func staleProcessNumber() throws {
    try withHome { home in
      let cluster = try PrivatePostgres.create(at: home, durable: false)
      let file = cluster.dataDirectory + "/postmaster.pid"
      let text = try FileSystem.readText(file)
      let pid = try #require(ServerProcess.state(cluster.dataDirectory).pid)
      kill(pid, SIGKILL)
      try waitUntil("the server has ended") { !ServerProcess.isAlive(pid) }
      // Ours: it is alive, and PostgreSQL by itself would refuse to start beside it.
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropFirst()
      let stale = (["\(getpid())"] + lines.map(String.init)).joined(separator: "\n")
      let written = try Subprocess("tee", [file], input: Array(stale.utf8)).run()
      #expect(written.succeeded)
      #expect(!cluster.isRunning)
      #expect(try cluster.ensureStarted())
      #expect(try ask(cluster, "SELECT 1") == "1")
    }
  }

  @Test("a socket that was cleaned away comes back")
  func socketGone() throws {
    try withHome { home in
      let cluster = try PrivatePostgres.create(at: home, durable: false)
      unlink(cluster.socketFile)
      #expect(!cluster.isRunning)
      try cluster.ensureStarted()
      #expect(try ask(cluster, "SELECT 1") == "1")
    }
  }

  @Test(
    "a path with anything in it will do",
    arguments: ["with space", "quote'\"$(id),;", "ünï", String(repeating: "long", count: 40)])
  func oddPath(name: String) throws {
    // In a place that everyone may enter, so that root's cluster is inside too.
    let open = "/var/tmp/opsledger-odd-\(getpid())"
    try FileSystem.makeDirectory(open, mode: 0o755)
    defer { _ = try? Subprocess("rm", ["-rf", "--", open]).run() }
    try withHome(name, under: open) { home in
      let cluster = try PrivatePostgres.create(at: home, durable: false)
      #expect(cluster.dataDirectory.hasPrefix(home))
      #expect(try ask(cluster, "SELECT current_user") == "operator")
      #expect(try PrivatePostgres.find(from: home)?.isRunning == true)
      try cluster.remove()
      #expect(!FileSystem.exists(cluster.socketDirectory))
      #expect(FileSystem.names(in: home).isEmpty)
    }
  }

  @Test("a folder can be moved while its server is stopped")
  func moved() throws {
    try withHome { home in
      let cluster = try PrivatePostgres.create(at: home, durable: false)
      try cluster.stop()
      let target = home + "/moved"
      try FileSystem.makeDirectory(target)
      rename(cluster.folder, target + "/.opsledger")
      #expect(try PrivatePostgres.find(from: home) == nil)
      let found = try #require(try PrivatePostgres.find(home: target))
      #expect(try found.ensureStarted())
      #expect(try ask(found, "SELECT 1") == "1")
      try found.remove()
    }
  }

  @Test("a creation that was interrupted counts as none, and is begun anew")
  func cutShort() throws {
    try withHome { home in
      let first = try PrivatePostgres.create(at: home, durable: false)
      rename(first.folder + "/cluster", first.folder + "/cluster.draft")
      #expect(try PrivatePostgres.find(home: home) == nil)
      let second = try PrivatePostgres.create(at: home, durable: false)
      #expect(second.record.id != first.record.id)
      #expect(try ask(second, "SELECT 1") == "1")
      if first.record.base != nil { #expect(!FileSystem.exists(first.dataDirectory)) }
    }
  }

  @Test("a folder that others may write to, or that is another's, is refused")
  func foreign() throws {
    try withHome { home in
      try FileSystem.makeDirectory(home + "/.opsledger", mode: 0o777)
      #expect(throws: HostError.self) { try PrivatePostgres.find(from: home) }
      #expect(throws: HostError.self) { try PrivatePostgres.create(at: home, durable: false) }
      guard Machine.userID == 0 else { return }
      chmod(home + "/.opsledger", 0o700)
      chown(home + "/.opsledger", 65_534, 65_534)
      #expect(throws: HostError.self) { try PrivatePostgres.find(from: home) }
    }
  }

  @Test("where it cannot be made, the reason is said")
  func refused() throws {
    #expect(throws: HostError.self) { try PrivatePostgres.create(at: "/proc/nowhere") }
    try withHome { home in
      try FileSystem.write("", to: home + "/.opsledger")
      #expect(throws: HostError.self) { try PrivatePostgres.create(at: home, durable: false) }
    }
  }

  @Test("a record of a version to come, or a damaged one, is refused")
  func record() throws {
    var record = ClusterRecord(base: nil, user: "postgres")
    #expect(try ClusterRecord(record.text, path: "p") == record)
    record.base = "/var/lib/opsledger/\(record.id)"
    #expect(try ClusterRecord(record.text, path: "p") == record)
    for text in [
      "", "format=2\n", record.text.replacing("user=postgres", with: "user="),
      record.text.replacing("/var/lib", with: "/home"),
    ] {
      #expect(throws: HostError.self) { try ClusterRecord(text, path: "p") }
    }
  }

  @Test("OPSLEDGER_HOME names the directory or the folder itself")
  func home() {
    #expect(PrivatePostgres.folder(in: "/x") == "/x/.opsledger")
    #expect(PrivatePostgres.folder(in: "/x/") == "/x/.opsledger")
    #expect(PrivatePostgres.folder(in: "/x/.opsledger/") == "/x/.opsledger")
    #expect(PrivatePostgres.folder(in: "/") == "/.opsledger")
  }
}
