import Archive
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import TestSupport
import Testing

/// What cannot be merged goes on in a store of its own; and a ledger without any store is settled by a reason.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct ForkTests {
  private static func emit(_ ledger: TestLedger, _ count: Int = 1) throws {
    for _ in 0..<count {
      _ = try ledger.engine().emit(AgentEvent.Report(type: "scout:find", data: "{}"))
    }
  }

  private func push(_ ledger: TestLedger, _ files: any ObjectStore) throws -> PushReport {
    try Pusher(try ledger.session(), files).run()
  }

  private func fork(
    _ ledger: TestLedger, _ files: any ObjectStore, from parent: (any ObjectStore)?
  ) throws -> ForkReport {
    try Forker(
      try ledger.session(), into: files, from: try parent.map { try Store.existing($0) },
      why: "a test", actor: "test"
    ).run()
  }

  private func restore(_ ledger: TestLedger, _ files: any ObjectStore) throws -> RestoreReport {
    let target = Session.Target(url: ledger.adminURL, application: "test")
    return try Restorer(target, [files], actor: "test").run()
  }

  private func log(_ ledger: TestLedger) throws -> [String] {
    try ledger.lines(
      """
      SELECT e::text FROM ledger.events AS e
      WHERE e.type NOT IN ('ledger.restored', 'ledger.moved') ORDER BY e.entry, e.index
      """)
  }

  /// A ledger and its copy, which both went on after entry `common`.
  private func apart(
    _ body: (
      _ first: TestLedger, _ store: MemoryStore, _ second: TestLedger, _ common: Int64
    ) throws -> Void
  ) throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try Self.emit(ledger, 3)
      _ = try push(ledger, files)
      try Self.emit(ledger, 2)
      let common = try ledger.session().seal()
      try ledger.withCopy { copy in
        try copy.execute("SELECT ledger.adopt_instance(0)")
        try Self.emit(copy, 4)
        try Self.emit(ledger, 1)
        _ = try push(ledger, files)
        try body(ledger, files, copy, common)
      }
    }
  }

  @Test("the second goes on in a store that names the last entry of both; both stay whole")
  func forks() throws {
    try apart { first, files, second, common in
      let refusal = expectRefusal(.storeDiverged) { try push(second, files) }
      #expect(refusal?.store?.kind == .diverged)
      let old = files
      let fresh = MemoryStore()
      let (before, historyBefore) = (try log(first), try log(second))
      let report = try fork(second, fresh, from: old)
      #expect(report.parent.entry == common)
      let record = try Store.existing(fresh).record
      #expect(record.parent == report.parent && record.identity == report.identity)
      #expect(record.parent?.identity == (try Store.existing(files).record.identity))
      #expect(try second.value("SELECT identity FROM ledger.ledger") == record.identity.description)
      #expect(try first.session().ledgerRecord().identity != record.identity)
      #expect(try second.verify().isEqual)
      #expect(try log(second).starts(with: historyBefore))
      #expect(try log(first) == before)

      // Each into its own store, and none into the other's; a refusal stops nobody.
      try Self.emit(second)
      _ = try push(second, fresh)
      _ = try push(first, files)
      for (ledger, other) in [(second, files), (first, fresh)] {
        let refusal = expectRefusal(.storeDiverged) { try push(ledger, other) }
        #expect(refusal?.store?.kind == .anotherLedger)
      }
      try Self.emit(first)
      try Self.emit(second)
      for store in [files, fresh] {
        #expect(try StoreVerifier(try Store.existing(store)).run().faults.isEmpty)
      }
      _ = try push(second, fresh)

      // The new store alone brings the new line back.
      try TestLedger.withEmptyDatabase { other in
        _ = try restore(other, fresh)
        #expect(try log(other) == log(second))
        #expect(try other.verify().isEqual)
        expectRefusal(.storeDiverged) { try restore(other, files) }
      }
      expectRefusal(.storeDiverged) { try restore(first, fresh) }
      // Once more is no second fork, and another store is not taken.
      #expect(try fork(second, fresh, from: nil).entry == nil)
      expectRefusal(.storeDiverged) { try fork(second, files, from: nil) }
    }
  }

  @Test("one that was interrupted goes on; without the old store the last recorded root counts")
  func cutShort() throws {
    try apart { _, _, second, _ in
      let fresh = MemoryStore()
      // The place was begun, and nothing else done.
      let recorded = try Int64(
        second.value("SELECT max(entry) FROM ledger.checkpoints WHERE root IS NOT NULL"))
      let first = try fork(second, fresh, from: nil)
      #expect(first.parent.entry == recorded)
      let begun = MemoryStore()
      begun["ledger.json"] = fresh["ledger.json"]
      let again = try fork(second, begun, from: nil)
      #expect(again.identity == first.identity && again.entry == nil)
      #expect(try StoreVerifier(try Store.existing(begun)).run().faults.isEmpty)
    }
  }

  @Test("an old copy from before the fork is restored from the new store")
  func oldCopy() throws {
    try TestLedger.with { ledger in
      let (files, fresh) = (MemoryStore(), MemoryStore())
      try Self.emit(ledger)
      _ = try push(ledger, files)
      try ledger.withCopy { old in
        _ = try fork(ledger, fresh, from: files)
        try Self.emit(ledger)
        _ = try push(ledger, fresh)
        #expect(try restore(old, fresh).outcome == .restored)
        #expect(try log(old) == log(ledger))
        #expect(try old.verify().isEqual)
      }
    }
  }

  @Test("where no store was kept, a reason settles a copy, and its numbers jump")
  func withoutStore() throws {
    try TestLedger.with { ledger in
      try Self.emit(ledger)
      let last = try ledger.session().seal()
      try ledger.withCopy { copy in
        expectRefusal(.storeDiverged) { try Self.emit(copy) }
        let session = try copy.adminSession()
        let entry = try session.adoptWithoutStore(why: "moved house", by: "test")
        #expect((entry ?? 0) > last + (1 << 20))
        #expect(
          try copy.value("SELECT content ->> 'why' FROM ledger.events WHERE type = 'ledger.moved'")
            == "moved house")
        try Self.emit(copy)
        #expect(try session.adoptWithoutStore(why: "again", by: "test") == nil)
        #expect(try copy.verify().isEqual)
        try copy.execute("SELECT ledger.mark_stale()")
        expectRefusal(.storeDiverged) {
          try session.adoptWithoutStore(why: "but a store has more", by: "test")
        }
      }
    }
  }
}
