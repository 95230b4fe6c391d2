import Archive
import Crypto
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

/// Of a store that lacks something, what comes before comes back, when that is wanted.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct LossTests {
  /// A ledger that was pushed three times.
  private func withStore(
    _ body: (TestLedger, MemoryStore, [SegmentName]) throws -> Void
  ) throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      var names: [SegmentName] = []
      let engine = try ledger.engine()
      for _ in 0..<3 {
        _ = try engine.emit(
          AgentEvent.Report(type: "scout:find", data: #"{"summary": "x", "source": "scout"}"#))
        _ = try engine.heartbeat(drain: true)
        names += try Pusher(try ledger.session(), files).run().segments
      }
      try body(ledger, files, names)
    }
  }

  private func restore(
    _ ledger: TestLedger, _ files: any ObjectStore, allowingLoss: String? = nil
  ) throws(OpsError) -> RestoreReport {
    let target = Session.Target(url: ledger.adminURL, application: "test")
    return try Restorer(
      target, [files], actor: "test", why: allowingLoss,
      allowsLoss: allowingLoss != nil
    ).run()
  }

  /// The log up to an entry, and what there is beyond but for what a restore records.
  private func log(_ ledger: TestLedger, upTo last: Int64 = .max) throws -> [String] {
    try ledger.lines(
      """
      SELECT e::text FROM ledger.events AS e
      WHERE e.entry <= \(last) AND e.type <> 'ledger.restored' ORDER BY e.entry, e.index
      """)
  }

  /// - Parameter whole: The last entry that can be had.
  private func expectLoss(
    _ ledger: TestLedger, _ files: MemoryStore, whole: Int64, last: Int64
  ) throws {
    try TestLedger.withEmptyDatabase { other in
      let refusal = #expect(throws: OpsError.self) { try restore(other, files) }
      #expect(refusal?.code == .storeDiverged)
      #expect(refusal?.store?.lost?.lowerBound == whole + 1)
      #expect(try other.count("ledger.events") == 0)
      let report = try restore(other, files, allowingLoss: "the disk")
      #expect(report.lastEntry == whole && report.lost == (whole + 1)...last)
      let (there, here) = (try log(other), try log(ledger, upTo: whole))
      #expect(there == here)
      #expect(try other.verify().isEqual)
      #expect(
        try other.count(
          "ledger.events WHERE type = 'ledger.restored' AND content ->> 'why' = 'the disk'") == 1)
      // Not into the old store, which stops nothing; into a new one.
      expectRefusal(.storeDiverged) { try Pusher(try other.session(), files).run() }
      _ = try other.engine().emit(AgentEvent.Report(type: "scout:find", data: "{}"))
      #expect(try restore(other, files, allowingLoss: "again").outcome == .nothingToDo)
      let fresh = MemoryStore()
      _ = try Pusher(try other.session(), fresh).run()
      #expect(try StoreVerifier(try Store.existing(fresh)).run().faults.isEmpty)
      try TestLedger.withEmptyDatabase { third in
        _ = try restore(third, fresh)
        #expect(try log(third) == log(other))
      }
    }
  }

  @Test("a missing segment in the middle: what comes before it")
  func missing() throws {
    try withStore { ledger, files, names in
      let file = files[names[1].path]
      files[names[1].path] = nil
      let last = names[2].entries.upperBound
      try expectLoss(ledger, files, whole: names[0].entries.upperBound, last: last)
      #expect(try StoreVerifier(try Store.existing(files)).run().faults.count == 1)
      // The database that has them all loses nothing.
      #expect(try restore(ledger, files).outcome == .nothingToDo)
      files[names[1].path] = file
      #expect(try restore(ledger, files).outcome == .nothingToDo)
    }
  }

  @Test("a damaged segment: what comes before it, whichever byte it is", arguments: [0.01, 0.4, 1])
  func damaged(place: Double) throws {
    try withStore { ledger, files, names in
      var bytes = files[names[2].path] ?? []
      bytes[min(bytes.count - 1, Int(Double(bytes.count) * place))] ^= 4
      files[names[2].path] = bytes
      try expectLoss(
        ledger, files, whole: names[1].entries.upperBound, last: names[2].entries.upperBound)
    }
  }

  @Test("a damaged frame: what comes before it in its segment too", arguments: [1, 3, 6])
  func damagedFrame(number: Int) throws {
    try withStore { ledger, files, names in
      // The same segment in small frames.
      let old = try #require(try files.list(names[1].path).first)
      let name = SegmentName(names[1].entries, generation: 2)
      let reader = try SegmentReader(files, old)
      let writer = try SegmentWriter(
        files, name, identity: reader.index.identity, before: reader.index.before,
        frameTextBytes: 300)
      try reader.lines(of: names[1].entries) { (line, _) throws(OpsError) in
        try writer.write(line)
      }
      let index = try writer.finish().index
      files[names[1].path] = nil
      let frame = index.frames[number]
      files[name.path]?[Int(frame.offset) + Int(frame.bytes) / 2] ^= 1
      try expectLoss(
        ledger, files, whole: frame.entries.lowerBound - 1, last: names[2].entries.upperBound)
    }
  }

  @Test("a segment of another history in a segment's place is damage")
  func foreign() throws {
    try withStore { ledger, files, names in
      // The same identity, another tree.
      let writer = try SegmentWriter(
        files, SegmentName(names[1].entries, generation: 2),
        identity: try Store.existing(files).record.identity, before: MerkleFrontier())
      _ = try writer.finish()
      try expectLoss(
        ledger, files, whole: names[0].entries.upperBound, last: names[2].entries.upperBound)
    }
  }

  @Test("the newest file missing, the database available: the next push writes it again")
  func newest() throws {
    try withStore { ledger, files, names in
      files[names[2].path] = nil
      let report = try Pusher(try ledger.session(), files).run()
      #expect(report.lastEntry >= names[2].entries.upperBound)
      #expect(try StoreVerifier(try Store.existing(files)).run().faults.isEmpty)
      try TestLedger.withEmptyDatabase { other in
        _ = try restore(other, files)
        #expect(try log(other) == log(ledger))
      }
    }
  }
}
