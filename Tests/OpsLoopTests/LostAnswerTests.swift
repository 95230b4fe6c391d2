import Crypto
import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import Testing

/// Whoever asked is told what was recorded, also where the answer to COMMIT was lost on the way.
@Suite(.needsServer)
struct LostAnswerTests {
  @Test(
    "a cut at COMMIT leaves one result, which is the one that is recorded",
    arguments: [CutProxy.Cut.answerOfCommit, .commit])
  func cut(_ cut: CutProxy.Cut) throws {
    try TestLedger.with { ledger in
      try throughProxy(ledger) { (engine, proxy) in
        for _ in 0..<10 {
          proxy.arm(cut)
          let submitted = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
          #expect(proxy.disarm())
          #expect(submitted.status == .autoApproved)
          proxy.arm(cut)
          let claim = try engine.claim(10, worker: "w")
          #expect(proxy.disarm())
          #expect(claim.steps.map(\.step.missionID) == [submitted.missionID])
          let outcomes = claim.steps.map { StepOutcome($0, .succeeded(nil)) }
          proxy.arm(cut)
          let completion = try engine.complete(outcomes)
          #expect(proxy.disarm())
          #expect((completion.succeeded, completion.refused.count) == (1, 0))
        }
      }
      #expect(try ledger.count("ops_missions WHERE status = 'succeeded'") == 10)
      #expect(
        try ledger.history("step")
          == Array(
            repeating: ["created", "leased", "succeeded"], count: 10
          ).flatMap { $0 })
      try ledger.expectEqual()
    }
  }

  @Test("a cut anywhere in a command that has a key from outside leaves the one result")
  func cutWithKey() throws {
    try TestLedger.with { ledger in
      try throughProxy(ledger) { (engine, proxy) in
        let command = Command(Reads()) { (_, draft) throws(OpsError) in
          let id = draft.newID()
          draft.append(
            .reported(AgentEvent.Report(type: "a", data: "{}"), processed: false),
            of: AgentEvent.self, to: id)
          return id
        }
        var cuts = 0
        for statements in 0..<12 {
          let key = IdempotencyKey(newCommandID(), actor: "test", request: .zero)
          proxy.arm(.afterStatements(statements))
          let first = try engine.session.performOnce(key, command)
          if proxy.disarm() { cuts += 1 }
          let again = try engine.session.performOnce(key, command)
          #expect(again.entry == first.entry && again.answer == first.answer)
        }
        // The key, two statements that read, and four that write.
        #expect(cuts >= 6)
      }
      #expect(try ledger.count("ops_agent_events") == 12)
    }
  }

  private func throughProxy(
    _ ledger: TestLedger, _ body: (Engine, CutProxy) throws -> Void
  ) throws {
    let server = try Connection(url: ledger.url)
    let (host, port) = (server.host, server.port)
    server.close()
    // The proxy knows sockets by the port's default name.
    try #require(host.hasPrefix("/") && port == "5432")
    let directory = "/tmp/\(ledger.database)"
    mkdir(directory, 0o700)
    let proxy = try CutProxy(listen: .unix(directory), server: .unix(host))
    defer {
      proxy.stop()
      unlink(directory + "/.s.PGSQL.5432")
      rmdir(directory)
    }
    let target = Session.Target(url: "\(ledger.url)&host=\(directory)", application: "test")
    try body(Engine(try Session(target), actor: "test"), proxy)
  }
}
