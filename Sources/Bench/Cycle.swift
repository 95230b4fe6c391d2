import Dispatch
import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Synchronization

/// The whole loop, from the agent event to the mission that has succeeded: events for some seconds, and
/// then until every mission that they led to has ended.
struct Cycle {
  let target: Session.Target
  let workers: Int
  let seconds: Double
  /// Events in one append, of one heartbeat, and steps in one claim.
  var emitBatch = 50
  var heartbeatBatch = 50
  var workBatch = 50

  /// One connection does everything in turn; more of them share it out: one emits, one is the
  /// heartbeat, of which there is only ever one, and the others work.
  func run() throws(OpsError) {
    let start = try progress()
    let began = Bench.now()
    if workers == 1 {
      try alone(until: began + seconds)
    } else {
      try shared(until: began + seconds)
    }
    let took = Bench.now() - began
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
    while Bench.now() < end {
      try emit(engine, heartbeatBatch)
      _ = try engine.heartbeat(drain: false)
      try work(engine)
    }
  }

  /// As a worker that watches does: what it looks for now and then, and what a worker says at its end,
  /// is not part of a batch.
  private func work(_ engine: Engine) throws(OpsError) {
    var ended: [StreamID] = []
    while true {
      let claim = try engine.claim(workBatch, worker: "worker/bench", following: .of(ended))
      if claim.steps.isEmpty { return }
      let outcomes = claim.steps.map {
        StepOutcome($0, .succeeded(Noop.result))
      }
      _ = try engine.complete(outcomes)
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

  private func worker(
    _ engine: Engine, _ name: String, shouldStop: @escaping @Sendable () -> Bool
  ) -> Worker {
    var options = Worker.Options(name: name)
    options.concurrency = workBatch
    options.watch = workers > 1
    return Worker(engine, options, shouldStop: shouldStop, report: { say($0, to: 2) })
  }

  private func shared(until end: Double) throws(OpsError) {
    let failure = Mutex<OpsError?>(nil)
    let backlog = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    let group = DispatchGroup()
    func run(_ name: String, _ body: @escaping @Sendable (Engine) throws(OpsError) -> Void) {
      DispatchQueue(label: name).async(group: group) {
        do throws(OpsError) { try body(try self.engine(name)) } catch {
          failure.withLock { $0 = $0 ?? error }
          isOver.store(true, ordering: .relaxed)
        }
      }
    }
    run("emitter") { (engine) throws(OpsError) in
      while Bench.now() < end {
        // Enough to keep the others busy, and no mountain.
        if backlog.load(ordering: .relaxed) > 4 * self.heartbeatBatch {
          usleep(500)
        } else {
          try self.emit(engine, self.heartbeatBatch)
          backlog.add(self.heartbeatBatch, ordering: .relaxed)
        }
      }
      let session = try Session(self.target)
      // Or each look would read all missions.
      session.preferIndexes()
      while try self.isUnfinished(session), !isOver.load(ordering: .relaxed) { usleep(10_000) }
      isOver.store(true, ordering: .relaxed)
    }
    run("heartbeat") { (engine) throws(OpsError) in
      while !isOver.load(ordering: .relaxed) {
        _ = try engine.heartbeat(drain: true) { backlog.subtract($0.events, ordering: .relaxed) }
      }
    }
    for number in 0..<(workers - 2) {
      run("worker/\(number)") { (engine) throws(OpsError) in
        while !isOver.load(ordering: .relaxed) {
          let report = try self.worker(
            engine, "worker/\(number)", shouldStop: { isOver.load(ordering: .relaxed) }
          ).run()
          if report.claimed == 0 { usleep(2000) }
        }
      }
    }
    group.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  private func isUnfinished(_ session: Session) throws(OpsError) -> Bool {
    let rows = try session.query(
      .init(
        """
        SELECT EXISTS (SELECT FROM public.ops_agent_events WHERE processed_at IS NULL)
          OR EXISTS (SELECT FROM public.ops_agent_reactions WHERE status = 'queued')
          OR EXISTS (SELECT FROM public.ops_missions WHERE status IN ('approved', 'running'))
        """))
    do { return try rows.bool(0, 0) } catch { throw OpsError(database: error) }
  }

  private func progress() throws(OpsError) -> (missions: Int64, events: Int64) {
    let rows = try Session(target).query(
      .init(
        """
        SELECT (SELECT count(*) FROM public.ops_missions WHERE status = 'succeeded'),
          (SELECT count(*) FROM ledger.events)
        """))
    do { return (try rows.int8(0, 0), try rows.int8(0, 1)) } catch {
      throw OpsError(database: error)
    }
  }

  private static let report = AgentEvent.Report(
    type: "user:request", data: #"{"topic": "Compare the three hosting offers", "source": "chat"}"#)
}
