import Postgres
import Testing

@Suite(.needsServer) struct PipelineTests {
  static let one = Statement("SELECT $1::int")
  static let divide = Statement("SELECT 12 / $1::int")
  static let preparedCount = Statement(
    "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int%'")

  @Test("a batch answers in order, an empty one with nothing")
  func order() throws {
    try TestServer.withConnection { (connection) throws in
      let answers = try connection.pipeline(
        (1...300).map { number in (Self.one, .with { $0.int4(Int32(number)) }) })
      #expect(answers.count == 300)
      for (index, rows) in answers.enumerated() {
        #expect(try rows.int4(0, 0) == Int32(index + 1))
      }
      #expect(try connection.pipeline([]).isEmpty)
    }
  }

  @Test("the first error is thrown with its place, and the connection goes on")
  func errorInTheMiddle() throws {
    try TestServer.withConnection { (connection) throws in
      for round in 0..<3 {
        let error = #expect(throws: PostgresError.self) {
          try connection.pipeline(
            [3, 2, 0, 1, 0].map { value in (Self.divide, .with { $0.int4(value) }) })
        }
        #expect(error?.kind == .server)
        #expect(error?.statementIndex == 2, "round \(round)")
        #expect(error?.sqlstate == "22012")
        #expect(error?.mayHaveSent == false)
        #expect(connection.transactionStatus == .idle)
        #expect(try connection.query(Self.divide, .with { $0.int4(4) }).int4(0, 0) == 3)
      }
    }
  }

  @Test("without BEGIN a batch is one transaction, up to the error in it")
  func implicitTransaction() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int PRIMARY KEY)")
      let insert = Statement("INSERT INTO t VALUES ($1::int)")
      let error = #expect(throws: PostgresError.self) {
        try connection.pipeline([1, 2, 1].map { value in (insert, .with { $0.int4(value) }) })
      }
      #expect(error?.isUniqueViolation == true)
      #expect(
        error?.table == "t" && error?.constraint == "t_pkey"
          && error?.schema?.hasPrefix("pg_temp") == true)
      #expect(error?.detail == "Key (a)=(1) already exists.")
      #expect(try connection.query(Statement("SELECT count(*) FROM t")).int8(0, 0) == 0)
    }
  }

  @Test("an error after BEGIN leaves the transaction open and failed, until it is rolled back")
  func openTransaction() throws {
    try TestServer.withConnection { (connection) throws in
      let begin = (Statement("BEGIN"), Parameters())
      let commit = (Statement("COMMIT"), Parameters())
      try connection.pipeline([begin])
      #expect(connection.transactionStatus == .inTransaction)
      try connection.pipeline([commit])
      #expect(connection.transactionStatus == .idle)
      #expect(throws: PostgresError.self) {
        try connection.pipeline([begin, (Self.divide, .with { $0.int4(0) }), commit])
      }
      #expect(connection.transactionStatus == .inFailedTransaction)
      let refused = #expect(throws: PostgresError.self) {
        try connection.query(Statement("SELECT 1"))
      }
      #expect(refused?.sqlstate == "25P02")
      try connection.rollbackIfOpen()
      #expect(connection.transactionStatus == .idle)
      try connection.rollbackIfOpen()
    }
  }

  @Test("a statement is prepared once, also when a batch meets it many times")
  func preparedOnce() throws {
    try TestServer.withConnection { (connection) throws in
      for _ in 0..<3 {
        try connection.pipeline((0..<5).map { _ in (Self.one, .with { $0.int4(7) }) })
      }
      #expect(try connection.query(Self.preparedCount).int8(0, 0) == 1)
      #expect(Statement("SELECT $1::int") == Self.one)
    }
  }

  @Test("a statement whose preparation was skipped after an error is prepared by its next use")
  func preparedAfterError() throws {
    try TestServer.withConnection { (connection) throws in
      #expect(throws: PostgresError.self) {
        try connection.pipeline([
          (Statement("SELECT no_such_column"), Parameters()), (Self.one, .with { $0.int4(1) }),
        ])
      }
      #expect(try connection.query(Self.preparedCount).int8(0, 0) == 0)
      #expect(try connection.query(Self.one, .with { $0.int4(1) }).int4(0, 0) == 1)
      let error = #expect(throws: PostgresError.self) {
        try connection.query(Statement("SELECT no_such_column"))
      }
      #expect(error?.sqlstate == "42703")
    }
  }

  @Test("an untyped NULL at first use does not settle the type of what follows")
  func nullFirst() throws {
    try TestServer.withConnection { (connection) throws in
      let either = Statement("SELECT $1::bigint")
      #expect(try connection.query(either, .with { $0.null() }).int8IfPresent(0, 0) == nil)
      #expect(try connection.query(either, .with { $0.int4(5) }).int8(0, 0) == 5)
      #expect(try connection.query(either, .with { $0.int8(6) }).int8(0, 0) == 6)
      #expect(try connection.query(either, .with { $0.text("7") }).int8(0, 0) == 7)
    }
  }

  @Test(
    "statements lost on the server, or outdated by DDL, are prepared anew where nothing else was asked"
  )
  func staleStatements() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t AS SELECT 1 AS a")
      let all = Statement("SELECT * FROM t")
      #expect(try connection.query(all).columnCount == 1)
      try connection.execute("DEALLOCATE ALL")
      #expect(try connection.query(all).columnCount == 1)
      try connection.execute("ALTER TABLE t ADD COLUMN b int")
      #expect(try connection.query(all).columnCount == 2)
    }
  }

  @Test("in a transaction, a statement that is stale says so, and works in the next one")
  func staleInTransaction() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t AS SELECT 1 AS a")
      let all = Statement("SELECT * FROM t")
      for (spoil, sqlstate) in [
        ("DEALLOCATE ALL", "26000"), ("ALTER TABLE t ADD COLUMN b int", "0A000"),
      ] {
        try connection.query(all)
        try connection.execute(spoil)
        try connection.begin()
        let stale = #expect(throws: PostgresError.self) { try connection.query(all) }
        #expect(stale?.sqlstate == sqlstate)
        #expect(stale?.isStaleStatement == true)
        try connection.rollbackIfOpen()
        try connection.pipeline([
          (.begin, Parameters()), (all, Parameters()), (.commit, Parameters()),
        ])
      }
      // A refusal that looks the same and is not stale.
      let refused = #expect(throws: PostgresError.self) {
        try connection.query(
          Statement("SELECT DISTINCT a FROM t FOR UPDATE"))
      }
      #expect(refused?.isStaleStatement == false)
    }
  }

  @Test("a session that something has reset has its settings again")
  func discarded() throws {
    try TestServer.withDatabase { (url) throws in
      let connection = try Connection(url: url, settings: [("search_path", "pg_catalog, pg_temp")])
      defer { connection.close() }
      let path = Statement("SELECT current_setting('search_path')")
      #expect(try connection.query(path).text(0, 0) == "pg_catalog, pg_temp")
      try connection.execute("DISCARD ALL")
      #expect(try connection.query(path).text(0, 0) == "pg_catalog, pg_temp")
    }
  }

  @Test(
    "behind a pooler settings last a transaction, whichever way it begins, and nothing is left on the session"
  )
  func pooledSettings() throws {
    try TestServer.withDatabase { (url) throws in
      let plain = try Connection(url: url)
      defer { plain.close() }
      let usual = try plain.query(Self.threeSettings).text(0, 0)
      let connection = try Connection(
        url: url, settings: [("search_path", "pg_catalog, pg_temp"), ("lock_timeout", "7s")],
        isPooled: true)
      defer { connection.close() }
      try connection.set("enable_seqscan", to: "off")
      let ours = "pg_catalog, pg_temp;7s;off"
      #expect(try connection.query(Self.threeSettings).text(0, 0) == ours)
      let answers = try connection.pipeline([
        (.begin, Parameters()), (Self.threeSettings, Parameters()), (.commit, Parameters()),
      ])
      #expect(answers.count == 3)
      #expect(try answers[1].text(0, 0) == ours)
      try connection.begin(.snapshot, "LOCK TABLE pg_class IN ACCESS SHARE MODE")
      #expect(try connection.query(Self.threeSettings).text(0, 0) == ours)
      try connection.execute("COMMIT")
      let copied = try TestServer.lines(
        of: "COPY (\(Self.threeSettings.sql)) TO STDOUT", on: connection)
      #expect(copied == [ours + "\n"])
      try connection.execute("CREATE TABLE public.t AS \(Self.threeSettings.sql) AS v")
      #expect(try connection.query(Statement("SELECT v FROM public.t")).text(0, 0) == ours)
      let writer = try connection.copyIn("COPY public.t FROM STDIN")
      try Array("x\n".utf8).withUnsafeBytes { try writer.raw($0) }
      #expect(try writer.finish() == 1)
      #expect(connection.transactionStatus == .idle)
      for bad in ["SELECT 1/0", "CREATE TABLE public.t ()"] {
        #expect(throws: PostgresError.self) { try connection.execute(bad) }
        let error = #expect(throws: PostgresError.self) { try connection.query(Statement(bad)) }
        #expect(error?.statementIndex == 0)
        #expect(throws: PostgresError.self) {
          _ = try connection.copyReader("COPY nothing TO STDOUT")
        }
        #expect(connection.transactionStatus == .idle)
      }
      // Without what goes before each transaction: the session itself.
      try connection.begin()
      try connection.execute("COMMIT")
      connection.isPooled = false
      #expect(try connection.query(Self.threeSettings).text(0, 0) == usual)
      // These two themselves.
      let prepared = Statement("SELECT count(*) FROM pg_prepared_statements")
      #expect(try connection.query(prepared).int8(0, 0) == 2)
    }
  }

  private static let threeSettings = Statement(
    "SELECT concat_ws(';', current_setting('search_path'), current_setting('lock_timeout'), "
      + "current_setting('enable_seqscan'))")

  @Test("without prepared statements the same batches give the same answers")
  func unprepared() throws {
    try TestServer.withDatabase { (url) throws in
      let connection = try Connection(url: url, isPooled: true)
      defer { connection.close() }
      let answers = try connection.pipeline(
        (1...10).map { number in (Self.one, .with { $0.int4(Int32(number)) }) })
      #expect(try answers[9].int4(0, 0) == 10)
      #expect(try connection.query(Self.preparedCount).int8(0, 0) == 0)
    }
  }

  @Test(
    "10,000 statements with 50 MB in and 50 MB out neither hang nor mix up",
    .timeLimit(.minutes(10))
  )
  func huge() throws {
    try TestServer.withConnection { (connection) throws in
      let echo = Statement("SELECT $1::int, $2::text")
      let text = String(repeating: "0123456789", count: 500)
      let answers = try connection.pipeline(
        (0..<10_000).map { number in
          (
            echo,
            .with {
              $0.int4(Int32(number))
              $0.text(text)
            }
          )
        })
      #expect(answers.count == 10_000)
      var right = 0
      for (index, rows) in answers.enumerated() {
        if try rows.int4(0, 0) == Int32(index), try rows.text(0, 1) == text { right += 1 }
      }
      #expect(right == 10_000)
    }
  }

  @Test("one parameter of 50 MB comes back", .timeLimit(.minutes(10)))
  func hugeParameter() throws {
    try TestServer.withConnection { (connection) throws in
      let bytes = [UInt8](repeating: 171, count: 50_000_000)
      let rows = try connection.query(
        Statement("SELECT $1::bytea, length($1::bytea)"), .with { $0.bytes(bytes) })
      #expect(try rows.int4(0, 1) == 50_000_000)
      #expect(try rows.bytea(0, 0) == bytes)
    }
  }

  @Test("what cannot be sent is refused before anything is")
  func unsendable() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int)")
      let insert = Statement("INSERT INTO t VALUES ($1::int)")
      let good = (insert, Parameters.with { $0.int4(1) })
      let tooMany = Parameters.with { for _ in 0..<65_536 { $0.int4(1) } }
      for bad in [(Self.one, tooMany), (Statement("SELECT '\0'"), Parameters())] {
        let error = #expect(throws: PostgresError.self) { try connection.pipeline([good, bad]) }
        #expect(error?.kind == .usage)
      }
      #expect(throws: PostgresError.self) { try connection.execute("SELECT 1\0; DROP TABLE t") }
      #expect(try connection.query(Statement("SELECT count(*) FROM t")).int8(0, 0) == 0)
    }
  }

  @Test("COPY in a pipeline is refused and closes the connection instead of hanging it")
  func copyInPipeline() throws {
    try TestServer.withConnection { (connection) throws in
      #expect(throws: PostgresError.self) {
        try connection.query(Statement("COPY (SELECT 1) TO STDOUT"))
      }
      #expect(connection.isBroken)
    }
  }
}
