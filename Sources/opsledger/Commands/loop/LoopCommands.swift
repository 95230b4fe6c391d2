import Archive
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `heartbeat`: agent events become reactions, reactions proposals, proposals missions.
enum LoopCommands {
  static let all = [heartbeat, WorkerCommands.worker, WorkerCommands.list]

  static let heartbeat = Command(
    group: .loop, name: "heartbeat",
    summary: "process agent events and reactions, and take back expired leases",
    options: [
      .value("every", "D", "run for ever, with this interval, like 5m"),
      .flag("drain", "repeat until no agent event and no reaction is left"),
    ],
    notes: [
      "Agent events become reactions by policy reaction_matrix, and reactions become proposals. Approved proposals "
        + "become missions, whose steps the worker runs.",
      "Only one heartbeat runs at a time. A run takes at most one batch of agent events and one of reactions "
        + "(OPS_EVENT_BATCH_SIZE, OPS_REACTION_BATCH_SIZE). With --every the next run follows at once if a batch was "
        + "full. With a store, each run ends with a push.",
    ],
    examples: [
      "heartbeat --drain": "processes everything that waits",
      "heartbeat --every 5m": "runs for ever; SIGTERM ends it between two runs",
      "--store /backup/ops heartbeat": "also pushes to the store",
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every")
    if let every, every < 1 { throw .badInput("--every needs a duration above 0") }
    let stores = try call.stores().isEmpty ? [] : call.openStores()
    let engine = try call.engine("heartbeat")
    guard let every else {
      _ = try run(engine, stores, call)
      return .fine
    }
    let stop = StopSignal()
    call.notePooler(engine.session)
    var wasAway = false
    while !stop.isRaised {
      var isFull = false
      do throws(OpsError) {
        isFull = try run(engine, stores, call)
        wasAway = false
      } catch {
        if !wasAway, Outage.wait(for: engine.session, error, stop) {
          wasAway = true
          continue
        }
        wasAway = false
        guard error.mayPass else { throw error }
        Output.messages.write(error.report)
      }
      Output.standard.flush()
      if !isFull { _ = stop.sleep(millis: every) }
    }
    return .fine
  }

  /// - Returns: Whether there is more to do at once.
  private static func run(
    _ engine: Engine, _ stores: [any ObjectStore], _ call: Invocation
  ) throws(OpsError) -> Bool {
    let watch = Stopwatch()
    let bar = Progress("heartbeat", unit: "agent events")
    defer { bar.finish() }
    // A promoted server records nothing until a push has compared it with its store.
    if !stores.isEmpty, try engine.session.wasPromoted() { push(engine.session, stores, call) }
    let report = try engine.heartbeat(drain: call.flag("drain")) { bar.advance(by: $0.events) }
    for warning in report.warnings { call.note("warning: \(warning)") }
    for passed in report.quarantined { call.note("warning: \(passed)") }
    if !report.isBusy { push(engine.session, stores, call) }
    var note = report.busyWith.map { "Another \($0.text)" }
    if let halt = report.halt { note = try haltLine(engine.session, why: halt) }
    if call.wantsJSON {
      if let note { call.note(note) }
      Output.standard.line(JSONObjectWriter.text { json(report, &$0) })
    } else {
      if let note { Output.standard.line(Terminal.printable(note)) }
      if !report.isBusy,
        report.halt == nil || report.recovered != Recovered() || report.votesExpired > 0
      {
        Output.standard.line(text(report) + " (\(watch.text))")
      }
    }
    if let failure = report.failure { throw failure }
    return report.filledBatch
  }

  /// Pushes at the end of a heartbeat. A failed push is a warning. It begins a ledger's first stores and no other,
  /// and waits at most five seconds for another push.
  private static func push(_ session: Session, _ stores: [any ObjectStore], _ call: Invocation) {
    do throws(OpsError) {
      let mayBegin = stores.isEmpty ? true : try !session.wasPushed()
      for store in stores {
        do throws(OpsError) {
          _ = try Pusher(session, store).run(mayBegin: mayBegin, waitSeconds: 5)
        } catch {
          call.note("warning: the push to \(store.place) failed: \(error)")
        }
      }
    } catch {
      call.note("warning: the push failed: \(error)")
    }
  }

  /// `Halted since 2026-11-24 06:00:28 by cli/ann@host: why`.
  static func haltLine(_ session: Session, why: String) throws(OpsError) -> String {
    // Nil where the policy's row is missing, or differs from the log.
    guard let halt = try session.halt() else { return "Halted: \(why)" }
    return "Halted since \(Shown.time(halt.since)) by \(halt.by): \(why)"
  }

  /// The object of the predecessor's endpoint (the runbook's step 5).
  private static func json(_ report: HeartbeatReport, _ out: inout JSONObjectWriter) {
    func object(_ name: String, _ members: (String, Int)...) {
      out.object(name) { for (name, count) in members { $0.int(name, count) } }
    }
    let recovered = report.recovered
    out.bool("ok", report.failure == nil)
    // The heartbeat that runs now.
    if let other = report.busyWith { out.string("busy", other.name) }
    object("triggerResult", ("events", report.events), ("queued", report.queued))
    object("reactionResult", ("processed", report.processed), ("created", report.created))
    object("learningResult", ("promoted", 0))
    object(
      "leaseResult", ("requeued_steps", recovered.requeued), ("failed_steps", recovered.failed))
    object("staleResult", ("recovered", recovered.stale))
    out.int("quarantined", report.quarantined.count)
    // The predecessor's object has no such member.
    if report.refused > 0 { object("gateResult", ("refused", report.refused)) }
  }

  private static func text(_ report: HeartbeatReport) -> String {
    var parts = [
      "\(Shown.count(report.events, "agent event")) led to \(Shown.count(report.queued, "reaction"))",
      "\(Shown.count(report.processed, "reaction")) led to \(Shown.count(report.created, "proposal"))",
    ]
    if report.refused > 0 {
      parts.append(
        "the caps refused \(Shown.count(report.refused, "proposal")): see `opsledger policy report`"
      )
    }
    let recovered = report.recovered
    if recovered != Recovered() {
      parts.append(
        Shown.count(recovered.total, "step") + " taken back: \(recovered.requeued) queued again, "
          + "\(recovered.failed) failed, \(recovered.stale) had no lease")
    }
    if report.votesExpired > 0 {
      parts.append(Shown.count(report.votesExpired, "vote") + " ended without a decision")
    }
    return parts.joined(separator: "; ")
  }
}

extension OpsError {
  /// Whether a command that runs for ever tries again. A wrong schema, missing rights and a stale copy need a person.
  var mayPass: Bool { ![.schemaMismatch, .notAllowed, .storeDiverged].contains(code) }
}
