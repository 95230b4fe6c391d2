import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Synchronization

/// The whole loop, from the agent event to the succeeded mission: it emits events for some seconds, and waits until all of
/// their missions have ended.
struct Cycle {
  let target: Session.Target
  let workers: Int
  let seconds: Double
  /// Events in one append.
  let emitBatch: Int
  /// Events in one heartbeat.
  let heartbeatBatch: Int
  /// Steps in one claim.
  let workBatch: Int

  /// One connection does everything in turn. Of several, one emits, one runs heartbeats, and the others work.
  func run() throws(OpsError) {
    let start = try progress()
    let began = monotonicSeconds()
    if workers == 1 {
      try alone(until: began + seconds)
    } else {
      try shared(until: began + seconds)
    }
    let took = monotonicSeconds() - began
    let end = try progress()
    let missions = end.missions - start.missions
    say(
      "cycles_a_second=\(Double(missions) / took) missions=\(missions) "
        + "events_a_cycle=\(Double(end.events - start.events) / Double(max(missions, 1)))")
  }

  private func engine(_ actor: String) throws(OpsError) -> Engine {
    var settings = LoopSettings()
    settings.eventBatch = heartbeatBatch
    settings.reactionBatch = heartbeatBatch
    return Engine(try Session(target), actor: actor, settings: settings)
  }

  private func alone(until end: Double) throws(OpsError) {
    let engine = try engine("bench")
    while monotonicSeconds() < end {
      try emit(engine, heartbeatBatch)
      _ = try engine.heartbeat(drain: false)
      try work(engine)
    }
  }

  /// Claims and completes as a worker that watches does in each batch.
  private func work(_ engine: Engine) throws(OpsError) {
    var ended: [StreamID] = []
    while true {
      let claim = try engine.claim(workBatch, worker: "worker/bench", following: .of(ended))
      if claim.steps.isEmpty { return }
      _ = try engine.complete(claim.steps.map { StepOutcome($0, .succeeded(Noop.result)) })
      ended = claim.steps.map(\.step.missionID)
    }
  }

  private func emit(_ engine: Engine, _ count: Int) throws(OpsError) {
    for _ in 0..<(count / emitBatch) {
      if emitBatch == 1 {
        _ = try engine.emit(Self.report)
      } else {
        try engine.emit(fresh: Array(repeating: Self.report, count: emitBatch))
      }
    }
  }

  private func shared(until end: Double) throws(OpsError) {
    let shared = Shared()
    try onThreads(max(workers, 2)) { (number) throws(OpsError) in
      // Each ends at the end of another, or at its error.
      defer { shared.isOver.store(true, ordering: .relaxed) }
      switch number {
      case 0: try emit(until: end, shared)
      case 1:
        let engine = try engine("heartbeat")
        while !shared.hasEnded {
          _ = try engine.heartbeat(drain: true) {
            shared.backlog.subtract($0.events, ordering: .relaxed)
          }
        }
      default:
        let name = "worker/\(number)"
        var options = Worker.Options(name: name)
        options.concurrency = workBatch
        options.watch = true
        let engine = try engine(name)
        while !shared.hasEnded {
          let report = try Worker(
            engine, options, shouldStop: { shared.hasEnded }, report: { say($0, to: 2) }
          ).run()
          if report.claimed == 0 { usleep(2000) }
        }
      }
    }
  }

  private final class Shared: Sendable {
    /// Agent events that no heartbeat has processed.
    let backlog = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    var hasEnded: Bool { isOver.load(ordering: .relaxed) }
  }

  private func emit(until end: Double, _ shared: Shared) throws(OpsError) {
    let engine = try engine("emitter")
    while monotonicSeconds() < end {
      // Enough to keep the others busy.
      if shared.backlog.load(ordering: .relaxed) > 4 * heartbeatBatch {
        usleep(500)
      } else {
        try emit(engine, heartbeatBatch)
        shared.backlog.add(heartbeatBatch, ordering: .relaxed)
      }
    }
    let session = try Session(target)
    // Otherwise each question would read all missions.
    session.preferIndexes()
    while try isUnfinished(session), !shared.hasEnded { usleep(10_000) }
  }

  private func isUnfinished(_ session: Session) throws(OpsError) -> Bool {
    let rows = try session.query(
      .init(
        """
        SELECT EXISTS (SELECT FROM public.ops_agent_events WHERE processed_at IS NULL)
          OR EXISTS (SELECT FROM public.ops_agent_reactions WHERE status = 'queued')
          OR EXISTS (SELECT FROM public.ops_missions WHERE status IN ('approved', 'running'))
        """))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  private func progress() throws(OpsError) -> (missions: Int64, events: Int64) {
    let rows = try Session(target).query(
      .init(
        """
        SELECT (SELECT count(*) FROM public.ops_missions WHERE status = 'succeeded'),
          (SELECT count(*) FROM ledger.events)
        """))
    return try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.int8(0, 1))
    }
  }

  private static let report = AgentEvent.Report(
    type: "user:request", data: #"{"topic": "Compare the three hosting offers", "source": "chat"}"#)
}
