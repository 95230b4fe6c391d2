import Log
import Postgres
import TestLedgers
import Testing

@Suite("What the schema laid, and what is there", .needsServer)
struct DefinitionTests {
  /// What doctor has to say, and what breaks it, as a superuser with the guards off.
  private static let broken = [
    (
      "function ledger.now(): another body",
      "CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''-infinity''::timestamptz'"
    ),
    (
      "trigger capture_move on ledger.pending: missing",
      "DROP TRIGGER capture_move ON ledger.pending"
    ),
    (
      "constraint ops_missions_proposal_id_fkey on public.ops_missions: triggers that keep it",
      "ALTER TABLE ops_missions DISABLE TRIGGER ALL"
    ),
    (
      "view public.ops_radar: another query",
      "CREATE OR REPLACE VIEW ops_radar AS SELECT * FROM ops_demand_radar LIMIT 0"
    ),
    (
      "table ledger.events: opsledger_operator may UPDATE",
      "GRANT UPDATE ON ledger.events TO opsledger_operator"
    ),
    (
      "function ledger.draw(integer): the schema has no such thing",
      "CREATE FUNCTION ledger.draw(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    ),
  ]

  @Test("what is not as it was laid is named, and laid again")
  func laidAgain() throws {
    // Not a copy of the tests' ledger, whose clock is another.
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      #expect(try definitions(ledger).verdict == .pass)
      for (said, sql) in Self.broken {
        try ledger.execute("\(Self.quietly); \(sql); \(Self.loudly)")
        let finding = try definitions(ledger)
        #expect(
          finding.verdict == .fail && finding.saw.contains { $0.hasPrefix(said) }, "\(finding.saw)")
        let report = try install(ledger)
        #expect(report.mended.contains { $0.hasPrefix(said) }, "\(report.mended)")
        #expect(report.unmended == [])
        #expect(try definitions(ledger).verdict == .pass)
      }
    }
  }

  @Test("a laying blesses nothing that somebody else changed, and says what it could not put back")
  func notBlessed() throws {
    try TestLedger.withEmptyDatabase { ledger in
      _ = try install(ledger)
      try ledger.execute(
        """
        \(Self.quietly); ALTER TYPE ops_step_status ADD VALUE 'odd'; \(Self.loudly);
        UPDATE ledger.migrations SET sha256 = sha256(name::bytea) WHERE name LIKE 'functions/%'
        """)
      let report = try install(ledger)
      #expect(report.unmended.contains { $0.hasPrefix("type public.ops_step_status: labels") })
      #expect(try definitions(ledger).verdict == .fail)
    }
  }

  private static let quietly =
    "SET client_min_messages = error; DO $$ DECLARE e record; BEGIN FOR e IN SELECT evtname FROM pg_event_trigger "
    + "LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', e.evtname); END LOOP; END $$"
  private static let loudly =
    "DO $$ DECLARE e record; BEGIN FOR e IN SELECT evtname FROM pg_event_trigger "
    + "LOOP EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', e.evtname); END LOOP; END $$"

  private func install(_ ledger: TestLedger) throws -> Installer.Report {
    try Installer.run(ledger.adminSession(), name: "test", actor: "test")
  }

  private func definitions(_ ledger: TestLedger) throws -> Finding {
    try #require(try ledger.session().examine().first { $0.name == "definitions" })
  }
}
