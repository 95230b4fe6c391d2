import Archive
import JSON
import Ledger
import Log
import OpsLoop
import Replay
import TestLedgers
import Testing

/// What was under way when the database was lost: once, and by whoever holds it.
@Suite(.enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct AfterRestoreTests {
  private func submit(_ ledger: TestLedger) throws {
    let template = JSON.object([
      "risk_level": .string("low"), "steps": .array([.object(["kind": .string("noop")])]),
    ])
    _ = try ledger.engine().submit(template, source: .manual, dedupeKey: nil)
  }

  private func complete(_ claim: Claim, _ ledger: TestLedger) throws -> Completion {
    try ledger.engine().complete(
      claim.steps.map { StepOutcome($0, .succeeded("{}")) })
  }

  @Test("a lease that the store holds ends with its outcome, once; one that it never saw is lost")
  func leases() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      try submit(ledger)
      try submit(ledger)
      let known = try ledger.engine().claim(1, worker: "worker/known")
      _ = try Pusher(try ledger.session(), files).run()
      let unknown = try ledger.engine().claim(1, worker: "worker/unknown")
      #expect(known.steps.count == 1 && unknown.steps.count == 1)
      try TestLedger.withEmptyDatabase { other in
        let target = Session.Target(url: other.adminURL)
        _ = try Restorer(target, [files], actor: "test").run()
        let before = try other.count("ledger.events")
        #expect(try complete(unknown, other).refused.map(\.1.code) == [.claimLost])
        #expect(try other.count("ledger.events") == before)
        // Somebody else has it meanwhile, under the same version and another run.
        let next = try other.engine().claim(1, worker: "worker/next")
        #expect(next.steps.map(\.step.id) == unknown.steps.map(\.step.id))
        #expect(try complete(unknown, other).refused.map(\.1.code) == [.claimLost])
        #expect(try complete(known, other).succeeded == 1)
        #expect(try complete(known, other).succeeded == 0)
        #expect(try complete(next, other).succeeded == 1)
        #expect(try other.count("ledger.events WHERE type = 'step.succeeded'") == 2)
        #expect(try other.count("ops_action_runs WHERE status = 'succeeded'") == 2)
        #expect(try other.verify().isEqual)
      }
    }
  }

  @Test("a command that the store has is answered with its entry, whoever asks again with its key")
  func commands() throws {
    try TestLedger.with { ledger in
      let files = MemoryStore()
      let keys = (0..<2).map { _ in CommandKey(id: newCommandID(), actor: "test") }
      let drafts = keys.map { _ in
        var draft = Draft(at: .allocated, ids: .random())
        let report = AgentEvent.Report(type: "scout:find", data: "{}")
        draft.append(
          .reported(report, processed: false), of: AgentEvent.self, to: newCommandID())
        return draft
      }
      let stored = try ledger.session().appendFresh(keys[0], drafts[0])
      _ = try Pusher(try ledger.session(), files).run()
      _ = try ledger.session().appendFresh(keys[1], drafts[1])
      try TestLedger.withEmptyDatabase { other in
        let target = Session.Target(url: other.adminURL)
        _ = try Restorer(target, [files], actor: "test").run()
        let again = try other.session().appendFresh(keys[0], drafts[0])
        #expect(again.entry == stored.entry)
        // What was lost with the database is done once more, and once.
        let lost = try other.session().appendFresh(keys[1], drafts[1])
        #expect(lost.entry != stored.entry)
        #expect(try other.session().appendFresh(keys[1], drafts[1]).entry == lost.entry)
      }
    }
  }
}
