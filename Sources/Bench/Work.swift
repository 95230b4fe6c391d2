import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Synchronization

/// Claims and completes steps that were queued before.
struct Work {
  let target: Session.Target
  let workers: Int
  let batch: Int
  let steps: Int

  func run() throws(OpsError) {
    try queue()
    let done = Atomic<Int>(0)
    let began = monotonicSeconds()
    try onThreads(workers) { (number) throws(OpsError) in
      let engine = Engine(try Session(target), actor: "worker/\(number)")
      while true {
        let claim = try engine.claim(batch, worker: "worker/\(number)")
        if claim.steps.isEmpty {
          if done.load(ordering: .relaxed) >= steps { break }
          // Others hold the remaining steps, and are about to end them.
          usleep(5000)
          continue
        }
        let outcomes = claim.steps.map { StepOutcome($0, .succeeded(#"{"ok": true}"#)) }
        let completion = try engine.complete(outcomes)
        done.add(completion.succeeded, ordering: .relaxed)
      }
    }
    say("steps_a_second=\(Double(steps) / (monotonicSeconds() - began))")
  }

  /// A hundred parallel steps a mission, so that the cost of missions does not count.
  private func queue() throws(OpsError) {
    let engine = Engine(try Session(target), actor: "bench")
    let step = JSON.object(["kind": .string(Noop.name)])
    let template = JSON.object([
      "risk_level": .string("low"), "parallel": .bool(true),
      "steps": .array(Array(repeating: step, count: 100)),
    ])
    for _ in 0..<(steps / 100) { _ = try engine.submit(template, source: .api, dedupeKey: nil) }
  }
}

/// How soon a waiting worker starts a step, and what waiting costs.
struct Wake {
  let target: Session.Target

  func run() throws(OpsError) {
    let isOver = Atomic<Bool>(false)
    try onThreads(2) { (number) throws(OpsError) in
      if number == 0 {
        defer { isOver.store(true, ordering: .relaxed) }
        try measure()
      } else {
        var options = Worker.Options(name: "worker/wake")
        options.watch = true
        _ = try Worker(
          Engine(try Session(target), actor: "worker/wake"), options,
          shouldStop: { isOver.load(ordering: .relaxed) }, report: { say($0, to: 2) }
        ).run()
      }
    }
  }

  private func measure() throws(OpsError) {
    let session = try Session(target)
    let engine = Engine(session, actor: "bench")
    usleep(500_000)
    let template = JSON.object([
      "risk_level": .string("low"), "steps": .array([.object(["kind": .string(Noop.name)])]),
    ])
    for number in 0..<300 {
      _ = try engine.submit(template, source: .api, dedupeKey: nil)
      usleep(UInt32(5000 + number % 37 * 1000))
    }
    usleep(200_000)
    let rows = try session.query(
      .init(
        """
        SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY w)::float8,
          percentile_cont(0.5) WITHIN GROUP (ORDER BY w)::float8
        FROM (SELECT extract(epoch FROM r.started_at - s.created_at) * 1000 AS w
          FROM public.ops_mission_steps AS s JOIN public.ops_action_runs AS r ON r.step_id = s.id
          ORDER BY s.created_at DESC LIMIT 300) AS q
        """))
    let before = try statements(session)
    usleep(20_000_000)
    let after = try statements(session)
    try onDatabase { () throws(PostgresError) in
      say(
        "p99_ms=\(try rows.float8(0, 0)) median_ms=\(try rows.float8(0, 1)) "
          + "idle_queries_a_second=\(Double(after - before - 1) / 20)")
    }
  }

  /// The number of statements that the server has run, by pg_stat_statements.
  private func statements(_ session: Session) throws(OpsError) -> Int64 {
    let rows = try session.query(
      .init(
        """
        SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        """))
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }
}
