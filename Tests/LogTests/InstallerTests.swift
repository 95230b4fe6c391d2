import CSchema
import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

@Suite(.needsServer)
struct InstallerTests {
  @Test("a second installation changes nothing")
  func twice() throws {
    try TestLedger.withEmptyDatabase { ledger in
      let first = try install(ledger)
      #expect(first.isNew)
      #expect(first.adopted == [])
      #expect(first.applied.count == opsledger_schema_sql_count())
      #expect(first.seeded.count == opsledger_schema_policies_count())
      let before = try state(ledger)
      let second = try install(ledger)
      #expect(second.applied == [])
      #expect(second.seeded == [])
      #expect(!second.isNew)
      #expect(second.identity == first.identity)
      #expect(try state(ledger) == before)
    }
  }

  @Test("two installations at once make one ledger")
  func atTheSameTime() throws {
    try TestLedger.withEmptyDatabase { ledger in
      let reports = try atOnce(2) { _ in try install(ledger) }
      #expect(reports.count { $0.isNew } == 1)
      #expect(Set(reports.map(\.identity)).count == 1)
      #expect(try ledger.count("ledger.events WHERE type = 'ledger.created'") == 1)
      #expect(
        try ledger.count("ledger.events WHERE type = 'policy.set'")
          == opsledger_schema_policies_count())
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("what psql laid is adopted, and is the same schema")
  func afterPsql() throws {
    let applied = try TestLedger.withEmptyDatabase { ledger in
      let files = UnsafeBufferPointer(
        start: opsledger_schema_sql(), count: opsledger_schema_sql_count())
      let all = files.map { file in
        String(
          decoding: UnsafeBufferPointer(start: file.bytes, count: file.length), as: UTF8.self)
      }
      // Not as one query: a trigger on DDL looks at the text of the query that it is in.
      let connection = try Connection(url: ledger.adminURL)
      try connection.execute("BEGIN")
      for file in all { try connection.execute(file) }
      try connection.execute("COMMIT")
      #expect(try ledger.count("ledger.events") == 0)
      let report = try install(ledger)
      #expect(report.isNew)
      #expect(report.applied.isEmpty || Set(report.applied).isDisjoint(with: report.adopted))
      #expect(report.seeded.count == opsledger_schema_policies_count())
      #expect(try ledger.count("ledger.migrations WHERE sha256 IS NULL") == 0)
      #expect(try ledger.verify().isEqual)
      return try catalogue(ledger)
    }
    let installed = try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      return try catalogue(ledger)
    }
    #expect(applied == installed)
  }

  @Test("a policy that somebody edited is not seeded over")
  func editedPolicy() throws {
    try TestLedger.with { ledger in
      try ledger.execute("UPDATE ops_policy SET value = '{}' WHERE key = 'proposal_caps'")
      let report = try install(ledger)
      #expect(report.seeded == [])
      #expect(try ledger.value("SELECT value FROM ops_policy WHERE key = 'proposal_caps'") == "{}")
    }
  }

  @Test("a migration that was changed after it was applied is refused")
  func changedMigration() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      try ledger.execute(
        """
        UPDATE ledger.migrations SET sha256 = sha256(name::bytea) WHERE name = '0003_tables.sql';
        UPDATE ledger_guard.definitions SET value = encode(sha256('0003_tables.sql'), 'hex')
        WHERE object = 'migration 0003_tables.sql' AND fact = 'sha256'
        """)
      let refusal = #expect(throws: OpsError.self) { try install(ledger) }
      #expect(refusal?.code == .schemaMismatch)
      try ledger.execute(
        "INSERT INTO ledger.migrations (name, oldest_binary) VALUES ('9999_later.sql', '99')")
      expectRefusal(.schemaMismatch) { try install(ledger) }
    }
  }

  private func install(_ ledger: TestLedger) throws -> Installer.Report {
    try Installer.run(ledger.adminSession(), name: "test", actor: "test")
  }

  private func state(_ ledger: TestLedger) throws -> [String] {
    try catalogue(ledger)
      + ledger.lines("SELECT entry, index, type, data::text FROM ledger.events ORDER BY 1, 2")
      + ledger.lines("SELECT key, value, version, updated_at FROM ops_policy ORDER BY 1")
      + ledger.lines("SELECT name, sha256, applied_at FROM ledger.migrations ORDER BY 1")
  }

  /// What pg_dump would show of it, near enough.
  private func catalogue(_ ledger: TestLedger) throws -> [String] {
    try ledger.lines(
      """
      SELECT c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), c.relacl, pg_get_userbyid(c.relowner)
      FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
      WHERE c.relnamespace::regnamespace::text IN ('public', 'ledger') ORDER BY 1, a.attnum
      """)
      + ledger.lines(
        """
        SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace::regnamespace::text IN ('public', 'ledger') ORDER BY 1, 2
        """)
      + ledger.lines(
        """
        SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal ORDER BY 1, 2
        """)
      + ledger.lines(
        """
        SELECT oid::regprocedure, md5(prosrc), proacl, pg_get_userbyid(proowner) FROM pg_proc
        WHERE pronamespace::regnamespace::text IN ('ledger', 'ledger_guard') ORDER BY 1
        """)
      + ledger.lines(
        "SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index AS i "
          + "JOIN pg_class AS c ON c.oid = i.indrelid "
          + "WHERE c.relnamespace::regnamespace::text IN ('public', 'ledger') ORDER BY 1")
      + ledger.lines("SELECT evtname, evtenabled, evtevent FROM pg_event_trigger ORDER BY 1")
  }
}
