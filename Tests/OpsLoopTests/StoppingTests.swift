import Dispatch
import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Synchronization
import TestLedgers
import Testing

/// Stopping is policy, and waiting costs next to nothing.
@Suite(.needsServer)
struct StoppingTests {
  @Test("halted, nothing new is taken; running steps finish; the same again records nothing")
  func halted() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      for _ in 0..<2 { _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil) }
      let held = try engine.claim(1, worker: "a")
      #expect(try engine.setLoop(.halted, why: "drill"))
      #expect(try !engine.setLoop(.halted, why: "again"))
      #expect(try ledger.count("ledger.events WHERE type = 'policy.set' AND version > 1") == 1)
      #expect(try engine.claim(5, worker: "a").halt == "drill")
      let done = try engine.complete([StepOutcome(held.steps[0], .succeeded(nil))], claim: held)
      #expect(done.succeeded == 1)
      try engine.emit("job:flaky", .object(["job": .string("j")]))
      let beat = try engine.heartbeat(drain: true)
      #expect((beat.halt, beat.events) == ("drill", 0))
      #expect(try engine.setLoop(.running, why: nil))
      #expect(try engine.heartbeat(drain: true).events == 1)
      try ledger.expectEqual()
    }
  }

  @Test("a paused executor's steps wait, others run; other fields of the policy stay")
  func paused() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      _ = try engine.submit(.noops(.fine), source: .manual, dedupeKey: nil)
      _ = try engine.submit(
        .radar("add", ["title": .string("t")]), source: .manual, dedupeKey: nil)
      #expect(try engine.pauseExecutor("radar", true, why: "its source is down"))
      #expect(try !engine.pauseExecutor("radar", true, why: "again"))
      let report = try engine.work()
      #expect(report.succeeded == 1)
      #expect(report.waiting?.executors == ["radar": 1])
      let standing = try #require(try engine.executors().first { $0.name == "radar" })
      guard case .paused(let by, _, let why) = standing.state else {
        Issue.record("not paused")
        return
      }
      #expect((by, why, standing.queued) == ("test", "its source is down", 1))
      #expect(
        try ledger.value("SELECT value->'max_retries' FROM ops_policy WHERE key = 'worker_policy'")
          == "3")
      #expect(try engine.pauseExecutor("radar", false, why: "up again"))
      #expect(try engine.work().succeeded == 1)
      let unknown = #expect(throws: OpsError.self) {
        try engine.pauseExecutor("wizard", true, why: nil)
      }
      #expect(unknown?.code == .executorNotFound)
      try ledger.expectEqual()
    }
  }

  @Test("two who pause different executors at once both succeed")
  func pausedAtOnce() throws {
    try TestLedger.with { ledger in
      _ = try atOnce(2) { number in
        try ledger.engine().pauseExecutor(number == 0 ? "noop" : "radar", true, why: nil)
      }
      #expect(
        try ledger.value(
          "SELECT value->'blocked_executors' FROM ops_policy WHERE key = 'worker_policy'")
          == #"["noop", "radar"]"#)
    }
  }

  @Test("a waiting worker starts a step within 100 ms of its commit, and asks little meanwhile")
  func waiting() throws {
    try TestLedger.with { ledger in
      let isOver = Mutex(false)
      let engine = try ledger.engine("worker/w")
      var options = Worker.Options(name: "worker/w")
      options.watch = true
      let worker = Box(
        Worker(engine, options, shouldStop: { isOver.withLock { $0 } }, report: { _ in }))
      let group = DispatchGroup()
      DispatchQueue.global().async(group: group) { _ = try? worker.value.run() }
      usleep(500_000)
      let submitter = try ledger.engine()
      for _ in 0..<10 {
        _ = try submitter.submit(.noops(.fine), source: .manual, dedupeKey: nil)
        usleep(120_000)
      }
      let slow = try ledger.lines(
        """
        SELECT r.started_at - s.created_at FROM ops_mission_steps AS s
          LEFT JOIN ops_action_runs AS r ON r.step_id = s.id
        WHERE r.started_at - s.created_at < interval '100 ms' IS NOT TRUE
        """)
      // One may meet a busy machine; a worker that polls would miss nearly all.
      #expect(slow.count <= 2, "\(slow)")
      #expect(try ledger.count("ledger.workers") == 1)
      isOver.withLock { $0 = true }
      group.wait()
      #expect(try ledger.count("ledger.workers") == 0)
      try ledger.expectEqual()
    }
  }

  private final class Box: @unchecked Sendable {
    let value: Worker
    init(_ value: Worker) { self.value = value }
  }
}
