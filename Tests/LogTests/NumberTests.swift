import Ledger
import Log
import Replay
import TestLedgers
import TestSupport
import Testing

/// Where numbers end, in SQL and in Swift.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct NumberTests {
  @Test("entry numbers end and are divided alike in SQL and in Swift")
  func limits() throws {
    try TestLedger.with { ledger in
      #expect(
        try ledger.value(
          "SELECT max_value FROM pg_sequences WHERE sequencename = 'entry_sequence'")
          == "\(EntryNumber.last)")
      try ledger.execute("SELECT setval('ledger.entry_sequence', \(EntryNumber.last - 3))")
      _ = try ledger.session().perform(.new(), .report(.sample()))
      let bounds = try ledger.lines(
        """
        SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'ledger.events'::regclass ORDER BY c.relname DESC LIMIT 1
        """)
      let last = EntryNumber.partition(of: EntryNumber.last)
      #expect(
        bounds == ["FOR VALUES FROM ('\(last.lowerBound)') TO ('\(last.upperBound + 1)')"])
      #expect(last.upperBound == EntryNumber.last)
    }
  }

  @Test("after the last number everybody is told, and what is there can be read")
  func end() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        "SELECT setval('ledger.entry_sequence', \(EntryNumber.last - 1)), ledger.add_partitions()")
      let session = try ledger.session()
      let committed = try session.perform(.new(), .report(.sample()))
      #expect(committed.entry == EntryNumber.last)
      let refusal = #expect(throws: OpsError.self) {
        try session.perform(.new(), .report(.sample()))
      }
      #expect(refusal?.code == .schemaMismatch)
      #expect(try session.seal() == EntryNumber.last)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test(
    "a seal that the numbers cannot have reached is taken off, and uses none of them up",
    arguments: [EntryNumber.last, EntryNumber.last - 1, EntryNumber.last / 2 + 1000])
  func falseSeal(entry: Int64) throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let before = try #require(try session.perform(.new(), .report(.sample("a"))).entry)
      try ledger.execute(
        "INSERT INTO ledger.checkpoints (entry, sealed_at) VALUES (\(entry), clock_timestamp())")
      expectRefusal(.storeDiverged) { try session.perform(.new(), .report(.sample("b"))) }
      #expect(try session.setNumbersRight(by: "test")?.falseSeal == entry)
      #expect(try session.setNumbersRight(by: "test") == nil)
      let next = try #require(try session.perform(.new(), .report(.sample("c"))).entry)
      #expect(next < before + 10)
      #expect(try session.seal() == next)
      #expect(try ledger.verify().isEqual)
    }
  }

  @Test(
    "nothing is recorded under a number that is sealed, until numbers are set right",
    arguments: [0, 1, 40])
  func setBack(gap: Int) throws {
    try TestLedger.with { ledger in
      let session = try ledger.session()
      let before = try #require(try session.perform(.new(), .report(.sample("a"))).entry)
      try ledger.execute("SELECT setval('ledger.entry_sequence', \(before + Int64(gap)))")
      let last = try #require(try session.perform(.new(), .report(.sample("b"))).entry)
      #expect(try session.seal() == last)
      try ledger.execute("SELECT setval('ledger.entry_sequence', \(before))")
      for attempt: () throws -> Any in [
        { try session.perform(.new(), .report(.sample("c"))) }, { try session.seal() },
        {
          try ledger.execute(
            "INSERT INTO ops_demand_radar (title, stage) VALUES ('x', 'watching')")
        },
      ] { #expect(throws: (any Error).self) { _ = try attempt() } }
      #expect(
        try session.examine().first { $0.name == "numbers and seals" }?.verdict == .fail)
      #expect(try session.setNumbersRight(by: "test")?.stoodAt == before)
      #expect(try session.setNumbersRight(by: "test") == nil)
      let next = try #require(try session.perform(.new(), .report(.sample("c"))).entry)
      #expect(next > last)
      #expect(try ledger.verify().isEqual)
    }
  }
}

@Suite struct EntryNumberTests {
  @Test("a jump never passes more than half of what is left, whatever a name claims")
  func jumps() throws {
    #expect(try EntryNumber.jumped(over: 27) == 27 + 1 << 20)
    #expect(try EntryNumber.jumped(over: 27, claimed: 5_000_000) == 5_000_000 + 1 << 20)
    for claimed in [Int64(1) << 31, 1 << 32, 1 << 53, .max] {
      for known in [0, 1 << 31, 1 << 40, EntryNumber.last - 5_000, EntryNumber.last - 2] {
        let jumped = try EntryNumber.jumped(over: known, claimed: claimed)
        #expect(jumped > known && jumped < EntryNumber.last, "\(known) \(claimed)")
        #expect(EntryNumber.last - jumped >= (EntryNumber.last - known) / 2)
      }
    }
    for known in [EntryNumber.last - 1, EntryNumber.last, .max] {
      expectRefusal(.schemaMismatch) { try EntryNumber.jumped(over: known) }
    }
  }

  @Test("a partition of any number")
  func partitions() {
    #expect(EntryNumber.partition(of: 0) == 0...999_999)
    #expect(EntryNumber.partition(of: 1_000_000) == 1_000_000...1_999_999)
    #expect(EntryNumber.partition(of: .max).lowerBound == EntryNumber.last + 1)
    #expect(EntryNumber.partition(of: .min).lowerBound == 0)
  }
}
