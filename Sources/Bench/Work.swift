import Dispatch
import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Synchronization

/// Claims and completions alone, of steps that were queued before.
struct Work {
  let target: Session.Target
  let workers: Int
  let batch: Int
  let steps: Int

  func run() throws(OpsError) {
    try queue()
    let done = Atomic<Int>(0)
    let failure = Mutex<OpsError?>(nil)
    let group = DispatchGroup()
    let began = Bench.now()
    for number in 0..<workers {
      DispatchQueue(label: "worker \(number)").async(group: group) {
        do throws(OpsError) {
          let engine = Engine(try Session(target), actor: "worker/\(number)")
          while true {
            let claim = try engine.claim(batch, worker: "worker/\(number)")
            if claim.steps.isEmpty {
              if done.load(ordering: .relaxed) >= steps { break }
              // What is left is others', who are about to end it.
              usleep(5000)
              continue
            }
            let outcomes = claim.steps.map { StepOutcome($0, .succeeded(#"{"ok": true}"#)) }
            let completion = try engine.complete(outcomes)
            done.add(completion.succeeded, ordering: .relaxed)
          }
        } catch {
          failure.withLock { $0 = $0 ?? error }
        }
      }
    }
    group.wait()
    if let error = failure.withLock({ $0 }) { throw error }
    say("steps_a_second=\(Double(steps) / (Bench.now() - began))")
  }

  /// A hundred steps a mission, at the same time: what a mission costs is not measured here.
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
    let group = DispatchGroup()
    let failure = Mutex<OpsError?>(nil)
    var options = Worker.Options(name: "worker/wake")
    options.watch = true
    DispatchQueue(label: "worker").async(group: group) { [options] in
      do throws(OpsError) {
        _ = try Worker(
          Engine(try Session(target), actor: "worker/wake"), options,
          shouldStop: { isOver.load(ordering: .relaxed) }, report: { say($0, to: 2) }
        ).run()
      } catch {
        failure.withLock { $0 = error }
      }
    }
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
    isOver.store(true, ordering: .relaxed)
    group.wait()
    if let error = failure.withLock({ $0 }) { throw error }
    do {
      say(
        "p99_ms=\(try rows.float8(0, 0)) median_ms=\(try rows.float8(0, 1)) "
          + "idle_queries_a_second=\(Double(after - before - 1) / 20)")
    } catch {
      throw OpsError(database: error)
    }
  }

  /// Statements that the server has run so far, by pg_stat_statements.
  private func statements(_ session: Session) throws(OpsError) -> Int64 {
    let rows = try session.query(
      .init(
        "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE dbid ="
          + " (SELECT oid FROM pg_database WHERE datname = current_database())"))
    do { return try rows.int8(0, 0) } catch { throw OpsError(database: error) }
  }
}
