import Ledger
import Log
import Postgres
import Replay
import TestLedgers
import TestSupport
import Testing

/// A database that is not the one that was settled draws and seals nothing.
@Suite(.needsServer)
struct InstanceTests {
  private static let manual =
    "INSERT INTO ops_demand_radar (title, stage) VALUES ('by hand', 'watching')"

  /// A copy of a ledger with an agent event, made as a file copy within one cluster is.
  private static func withCopy(_ body: (TestLedger) throws -> Void) throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      _ = try session.perform(.new(), .report(.sample()))
      session.drop()
      try ledger.withCopy { try body($0) }
    }
  }

  @Test("a copy refuses commands, hands and seals, and keeps its numbers")
  func copy() throws {
    try Self.withCopy { copy in
      let session = try copy.session()
      let before = try copy.count("ledger.events")
      expectRefusal(.storeDiverged) { try session.perform(.new(), .report(.sample())) }
      do throws(OpsError) {
        _ = try session.seal()
        Issue.record("sealed")
      } catch {
        #expect(error.code == .storeDiverged)
        #expect(error.hint?.contains("opsledger restore") == true)
      }
      #expect(throws: (any Error).self) { try copy.execute(Self.manual) }
      #expect(try copy.count("ledger.events") == before)
      #expect(try copy.verify().isEqual)
    }
  }

  /// As logical replication of the rows leaves it, and a superuser's RESTART.
  @Test("a copy that has no mark is one, and no init makes it a home")
  func unmarked() throws {
    try TestLedger.with { ledger in
      try ledger.execute("SELECT setval('ledger.instance_mark', 1, false)")
      // Also in a session that has allocated before.
      let session = try ledger.session()
      #expect(try session.instanceState() == .elsewhere(onlyTimeline: false))
      for _ in 1...2 {
        expectRefusal(.storeDiverged) { try session.perform(.new(), .report(.sample())) }
        #expect(throws: (any Error).self) { try ledger.execute(Self.manual) }
        _ = try? Installer.run(ledger.adminSession(), name: "x", actor: "x")
      }
      #expect(try session.adoptWithoutStore(why: "a test", by: "somebody") != nil)
      _ = try session.perform(.new(), .report(.sample()))
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test("what is settled goes on above the numbers that another may have allocated")
  func settled() throws {
    try Self.withCopy { copy in
      let highest = Int64(try copy.value("SELECT max(entry) FROM ledger.events")) ?? 0
      try copy.execute("SELECT ledger.adopt_instance(\(highest + 1000))")
      let session = try copy.session()
      let committed = try session.perform(.new(), .report(.sample()))
      #expect((committed.entry ?? 0) > highest + 1000)
      try copy.execute(Self.manual)
      #expect(try session.seal() >= committed.entry ?? .max)
      #expect(try copy.verify().isEqual)
      // Settled again at a number that is passed: numbers do not go back.
      try copy.execute("SELECT ledger.adopt_instance(1)")
      let next = try session.perform(.new(), .report(.sample())).entry
      #expect((next ?? 0) > committed.entry ?? .max)
    }
  }

  @Test("a restore interrupted before the first entry is there says so, and not to begin a ledger")
  func halfRestored() throws {
    try TestLedger.withEmptyDatabase { ledger in
      let session = try ledger.adminSession()
      _ = try Installer.apply(session)
      func refusal(_ body: () throws(OpsError) -> Void) -> OpsError? {
        do throws(OpsError) { try body() } catch { return error }
        return nil
      }
      let before = refusal { () throws(OpsError) in try session.requireLedger() }
      #expect(before?.code == .schemaMismatch)
      try session.markStale()
      let required = refusal { () throws(OpsError) in try session.requireLedger() }
      #expect(required?.code == .storeDiverged)
      #expect(required?.hint?.contains("opsledger restore") == true)
      let read = refusal { () throws(OpsError) in _ = try session.ledgerRecord() }
      #expect(read?.code == .storeDiverged)
    }
  }

  @Test("a ledger that is behind its store is stopped in sessions that are open")
  func marked() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      _ = try session.perform(.new(), .report(.sample()))
      let other = try ledger.session()
      _ = try other.query(Statement("SELECT ledger.mark_stale()"))
      do throws(OpsError) {
        _ = try session.perform(.new(), .report(.sample()))
        Issue.record("recorded")
      } catch {
        #expect(error.code == .storeDiverged)
        #expect(error.message.contains("the store holds history that this database lacks"))
      }
      expectRefusal(.storeDiverged) { try ledger.session().seal() }
    }
  }

  @Test("what has changed of the place is known")
  func homes() throws {
    try TestLedger.with { ledger in
      #expect(try ledger.session().instanceState() == .here)
      try ledger.withCopy { copy in
        let instanceState = try copy.session().instanceState()
        #expect(instanceState == .elsewhere(onlyTimeline: false))
      }
      try ledger.execute(
        """
        SELECT setval('ledger.instance_mark', hashtextextended('000000FF', hashtextextended(ledger.place(), 0)))
        """)
      #expect(try ledger.session().instanceState() == .elsewhere(onlyTimeline: true))
      try ledger.session().markStale()
      #expect(try ledger.session().instanceState() == .stale)
      let session = try ledger.session()
      try session.adoptInstance(above: 500)
      #expect(try session.instanceState() == .here)
      #expect(try session.highestEntries().allocated == 500)
    }
  }

  @Test("only the repair role settles, and nobody sets the numbers back")
  func rights() throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      for refused in [
        "SELECT ledger.adopt_instance(0)", "SELECT ledger.skip_numbers(9)",
        "SELECT setval('ledger.instance_mark', 1)",
        "SELECT setval('ledger.entry_sequence', 1)", "SELECT nextval('ledger.instance_mark')",
      ] {
        expectRefusal(.notAllowed, "\(refused)") { try session.query(Statement(refused)) }
      }
      // Nor does the repair role use them up at once.
      expectRefusal(.schemaMismatch) { try session.skipNumbers(above: EntryNumber.last - 2) }
      #expect(try session.highestEntries().allocated < 1000)
    }
  }
}
