import JSON
import Ledger
import Log
import OpsLoop
import Synchronization
import TestLedgers
import TestSupport
import Testing
import Threads

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
      let done = try engine.complete([StepOutcome(held.steps[0], .succeeded(nil))])
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
      let executor = try #require(try engine.executors().first { $0.name == "radar" })
      guard case .paused(let by, _, let why) = executor.state else {
        Issue.record("not paused")
        return
      }
      #expect((by, why, executor.queued) == ("test", "its source is down", 1))
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

  @Test("pausing changes what is in force, also where the policy's row is gone or broken")
  func pausedWithoutRow() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set("worker_policy", #"{"allowed_executors": ["radar"], "max_retries": 7}"#)
      for hand in [
        "DELETE FROM ops_policy WHERE key = 'worker_policy'",
        "UPDATE ops_policy SET value = '[]' WHERE key = 'worker_policy'",
        #"UPDATE ops_policy SET value = '{"max_retries": "x"}' WHERE key = 'worker_policy'"#,
      ] {
        try ledger.execute(hand)
        #expect(try ledger.engine().pauseExecutor("radar", true, why: "down"))
        #expect(
          try ledger.value("SELECT value FROM ops_policy WHERE key = 'worker_policy'")
            == #"{"max_retries": 7, "allowed_executors": ["radar"], "blocked_executors": ["radar"]}"#
        )
        #expect(try ledger.engine().pauseExecutor("radar", false, why: "up"))
      }
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

  @Test("a waiting worker is woken by whoever makes a step runnable")
  func waiting() throws {
    try TestLedger.with { ledger in
      try whileWatching(ledger) {
        let submitter = try ledger.engine()
        for done in 1...10 {
          _ = try submitter.submit(.noops(.fine), source: .manual, dedupeKey: nil)
          try waitForSucceeded(done, ledger)
        }
        #expect(try ledger.count("ledger.workers") == 1)
      }
      #expect(try ledger.count("ledger.workers") == 0)
      try ledger.expectEqual()
    }
  }

  @Test("a waiting worker tries a step that follows another again as soon as it may")
  func waitingForRetry() throws {
    try TestLedger.with { ledger in
      // Its own look at everything comes after this test has given up.
      try whileWatching(ledger, fullLookSeconds: 3600) {
        _ = try ledger.engine().submit(
          .noops(.fine, .object(["fail_times": .int(1)])), source: .manual, dedupeKey: nil)
        try waitForSucceeded(1, ledger)
      }
      try ledger.expectEqual()
    }
  }

  private func waitForSucceeded(_ missions: Int, _ ledger: TestLedger) throws {
    func steps() throws -> String {
      try "\(ledger.lines("SELECT id, status, failure_count, not_before FROM ops_mission_steps"))"
    }
    try waitUntil("\(missions) succeeded missions", saw: steps) {
      try ledger.count("ops_missions WHERE status = 'succeeded'") == missions
    }
  }

  private func whileWatching(
    _ ledger: TestLedger, fullLookSeconds: Double = 10, _ body: () throws -> Void
  ) throws {
    let isOver = Mutex(false)
    var options = Worker.Options(name: "worker/w")
    options.watch = true
    options.fullLookSeconds = fullLookSeconds
    let worker = Box(
      Worker(
        try ledger.engine("worker/w"), options, shouldStop: { isOver.withLock { $0 } },
        report: { _ in }))
    let ending = Mutex<Result<WorkerReport, any Error>?>(nil)
    let works = startThread {
      let result = Result { try worker.value.run() }
      ending.withLock { $0 = result }
    }
    #expect(works)
    // The first look of its own is behind it.
    try waitUntil("a worker that waits") { try ledger.count("ledger.workers") == 1 }
    let result = Result { try body() }
    isOver.withLock { $0 = true }
    try waitUntil("the worker has left") { ending.withLock { $0 != nil } }
    _ = try ending.withLock { $0 }?.get()
    try result.get()
  }

  private final class Box: @unchecked Sendable {
    let value: Worker
    init(_ value: Worker) { self.value = value }
  }
}
