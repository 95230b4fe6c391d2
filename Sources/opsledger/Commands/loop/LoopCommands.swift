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
    summary: "react to what was reported, and take back leases that ran out",
    options: [
      .init(name: "every", value: "D", help: "go on, once in so much time: 5m"),
      .init(name: "drain", help: "go on until nothing is left to react to"),
    ],
    notes: [
      "One runs at a time. A run takes at most one batch of agent events and one of reactions "
        + "(OPS_EVENT_BATCH_SIZE, OPS_REACTION_BATCH_SIZE); under --every, one that filled a batch "
        + "is followed at once by the next."
    ],
    examples: [
      .init(line: "heartbeat --drain", meaning: "until nothing is left"),
      .init(line: "heartbeat --every 5m", meaning: "for ever; SIGTERM ends it between two runs"),
      .init(line: "--store /backup/ops heartbeat", meaning: "and push what it recorded"),
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every")
    if let every, every < 1 { throw .badInput("--every wants a time above 0") }
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
    // A promoted server settles itself, which the push does, and before that nothing is recorded.
    if !stores.isEmpty, try engine.session.wasPromoted() { push(engine.session, stores, call) }
    let report = try engine.heartbeat(drain: call.flag("drain")) { bar.advance(by: $0.events) }
    for warning in report.warnings { call.note("warning: \(warning)") }
    for passed in report.quarantined { call.note("warning: \(passed)") }
    if !report.isBusy { push(engine.session, stores, call) }
    var note = report.busyWith.map { "Another \($0.text)" }
    if let halt = report.halt { note = try haltLine(engine.session, why: halt) }
    if call.wantsJSON {
      if let note { call.note(note) }
      Output.standard.line(json(report))
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

  /// A heartbeat that has a store ends with a push; one that fails is a warning. It begins a ledger's first
  /// stores and no other, and waits for another's push only so long.
  private static func push(_ session: Session, _ stores: [any ObjectStore], _ call: Invocation) {
    do throws(OpsError) {
      let mayBegin = stores.isEmpty ? true : try !session.wasPushed()
      for store in stores {
        do throws(OpsError) {
          _ = try Pusher(session, store).run(mayBegin: mayBegin, waitSeconds: 5)
        } catch {
          call.note("warning: nothing was pushed to \(store.place): \(error)")
        }
      }
    } catch {
      call.note("warning: nothing was pushed: \(error)")
    }
  }

  /// `Halted since 2026-11-24 06:00:28 by cli/ann@host: why`.
  static func haltLine(_ session: Session, why: String) throws(OpsError) -> String {
    // The log tells who; where the row is gone, or is not what the log says, nobody has said.
    guard let halt = try session.halt() else { return "Halted: \(why)" }
    return "Halted since \(Shown.time(halt.since)) by \(halt.by): \(why)"
  }

  /// The endpoint's object (the runbook's step 5, and the origin's `learningResult`).
  private static func json(_ report: HeartbeatReport) -> String {
    func object(_ members: (String, Int)...) -> String {
      var out = JSONObjectWriter()
      for (name, count) in members { out.int(name, count) }
      return out.finish()
    }
    let recovered = report.recovered
    var out = JSONObjectWriter()
    out.bool("ok", report.failure == nil)
    // Who did it instead.
    if let other = report.busyWith { out.string("busy", other.name) }
    out.raw("triggerResult", object(("events", report.events), ("queued", report.queued)))
    out.raw("reactionResult", object(("processed", report.processed), ("created", report.created)))
    out.raw("learningResult", object(("promoted", 0)))
    out.raw(
      "leaseResult",
      object(("requeued_steps", recovered.requeued), ("failed_steps", recovered.failed)))
    out.raw("staleResult", object(("recovered", recovered.stale)))
    out.int("quarantined", report.quarantined.count)
    // The endpoint's object has no such member; it is there where there is something to say.
    if report.refused > 0 { out.raw("gateResult", object(("refused", report.refused))) }
    return out.finish()
  }

  private static func text(_ report: HeartbeatReport) -> String {
    var parts = [
      "\(Shown.count(report.events, "agent event")) gave \(Shown.count(report.queued, "reaction"))",
      "\(Shown.count(report.processed, "reaction")) gave \(Shown.count(report.created, "proposal"))",
    ]
    if report.refused > 0 {
      parts.append(
        "the caps refused \(Shown.count(report.refused, "proposal")): see `opsledger policy report`"
      )
    }
    let recovered = report.recovered
    if recovered != Recovered() {
      parts.append(
        Shown.count(recovered.total, "lease") + " had run out: \(recovered.requeued) queued again, "
          + "\(recovered.failed) failed, \(recovered.stale) without a lease recovered")
    }
    if report.votesExpired > 0 {
      parts.append(Shown.count(report.votesExpired, "vote") + " ended without a decision")
    }
    return parts.joined(separator: "; ")
  }
}

extension OpsError {
  /// Whether a command that goes on for ever tries again: what is wrong with the schema, the rights or the
  /// place takes a person.
  var mayPass: Bool { ![.schemaMismatch, .notAllowed, .storeDiverged].contains(code) }
}
