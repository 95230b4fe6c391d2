import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `status`: how the ledger is.
enum StatusCommand {
  static let all = [status]

  static let status = Command(
    group: .start, name: "status", summary: "say how the ledger is: queues, missions, seal",
    options: [
      .init(name: "watch", help: "go on, once in so much time"),
      .init(name: "every", value: "D", help: "with --watch: how often (2s)"),
    ],
    notes: [
      "The seal is how far the log can no longer change. An append that stays open holds it back, "
        + "and nobody else; it is named here."
    ],
    examples: [
      .init(line: "status --json", meaning: "entry is the last one that is sealed"),
      .init(line: "status --watch", meaning: "for as long as somebody looks"),
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every") ?? 2000
    guard every >= 100 else { throw .badInput("--every wants a time of at least 100ms") }
    let session = try call.session()
    guard call.flag("watch") else { return try print(session, call) }
    let stop = StopSignal()
    repeat {
      // A terminal is cleared, a pipe gets one after the other.
      if !call.wantsJSON, Terminal.isTerminal(1) { Output.standard.write("\u{1B}[H\u{1B}[2J") }
      _ = try print(session, call)
      Output.standard.flush()
    } while stop.sleep(millis: every)
    return .fine
  }

  private static func print(
    _ session: Session, _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let ledger = try session.ledgerRecord()
    let status = try session.status()
    let halt = try Engine(session, actor: "status").policies().halt
    let haltLine = if let halt { try LoopCommands.haltLine(session, why: halt) } else { "" }
    if call.wantsJSON {
      Output.standard.line(json(status, ledger, halt: halt))
    } else {
      Output.standard.write(text(status, ledger, halt: haltLine))
    }
    return .fine
  }

  private static func text(
    _ status: LedgerStatus, _ ledger: LedgerRecord, halt: String
  ) -> String {
    let missions = Mission.Status.allCases.map { "\(status.missions24h[$0.rawValue] ?? 0) \($0)" }
    var facts = [
      ("ledger", "\(ledger.title), \(ledger.identity)"),
      (
        "database",
        "\(status.database) on PostgreSQL \(status.server), schema \(status.lastMigration)"
      ),
      ("loop", halt.isEmpty ? "running" : halt),
      ("heartbeat", heartbeat(status)),
      ("agent events", "\(Shown.count(status.unprocessedEvents)) not processed"),
      ("reactions", "\(Shown.count(status.queuedReactions)) queued"),
      ("proposals", "\(Shown.count(status.pendingProposals)) wait for a decision"),
      (
        "steps",
        "\(Shown.count(status.steps["queued"] ?? 0)) queued, "
          + "\(Shown.count(status.steps["running"] ?? 0)) running, "
          + "\(Shown.count(status.deadLetters24h)) dead in 24 h"
      ),
      ("missions, 24 h", missions.joined(separator: ", ")),
      ("entries", "sealed up to \(status.sealed), drawn up to \(status.drawn)"),
    ]
    if let refusal = status.refusal { facts.append(("refuses", refusal)) }
    facts.append(("store", store(status)))
    for appender in status.appenders { facts.append(("open append", line(appender, status.now))) }
    return Facts.text(facts)
  }

  private static func heartbeat(_ status: LedgerStatus) -> String {
    guard let last = status.heartbeat else { return "none yet" }
    let ago = Timeline.span(from: last.at, to: status.now)
    return "\(last.succeeded ? "succeeded" : "failed") \(ago) ago, \(Shown.time(last.at))"
  }

  private static func store(_ status: LedgerStatus) -> String {
    guard let stored = status.stored else { return "nothing was pushed yet" }
    // What is refused is said above: the store may have more than this database.
    if status.refusal != nil { return "had everything up to entry \(stored)" }
    guard let since = status.unstoredSince else { return "has everything, up to entry \(stored)" }
    return "has everything up to entry \(stored), and nothing of the last "
      + Timeline.span(from: since, to: status.now)
  }

  private static func line(_ appender: LedgerStatus.Appender, _ now: Instant) -> String {
    guard let pid = appender.pid else {
      return "a prepared transaction (see pg_prepared_xacts) holds the seal back"
    }
    let since = appender.since.map { " for \(Timeline.span(from: $0, to: now))" } ?? ""
    return "pid \(pid), user \(appender.user ?? "?"), \(appender.application ?? ""), "
      + "holds the seal back at \(appender.bound)\(since)"
  }

  private static func json(
    _ status: LedgerStatus, _ ledger: LedgerRecord, halt: String?
  ) -> String {
    func counts(_ counts: [String: Int64]) -> JSON { .object(counts.mapValues(JSON.int)) }
    var out = JSONObjectWriter()
    out.int("entry", status.sealed)
    out.int("drawn", status.drawn)
    out.string("name", ledger.title)
    out.string("identity", ledger.identity.description)
    out.string("database", status.database)
    out.string("server_version", status.server)
    out.string("schema", status.lastMigration)
    out.string("release", Installer.release)
    out.string("now", status.now.description)
    out.json("halted", .optional(halt))
    out.json("last_heartbeat", .optional(status.heartbeat?.at.description))
    out.json("last_heartbeat_ok", status.heartbeat.map { .bool($0.succeeded) } ?? .null)
    out.json("refusal", .optional(status.refusal))
    out.json("stored_entry", status.stored.map(JSON.int) ?? .null)
    out.json("unstored_since", .optional(status.unstoredSince?.description))
    var queues = JSONObjectWriter()
    queues.int("unprocessed_events", status.unprocessedEvents)
    queues.int("queued_reactions", status.queuedReactions)
    queues.int("pending_proposals", status.pendingProposals)
    queues.int("queued_steps", status.steps["queued"] ?? 0)
    queues.int("running_steps", status.steps["running"] ?? 0)
    out.raw("queues", queues.finish())
    out.json("missions_24h", counts(status.missions24h))
    out.int("dead_letters_24h", status.deadLetters24h)
    let appenders = status.appenders.map { appender in
      JSON.object([
        "bound": .int(appender.bound), "pid": appender.pid.map(JSON.int) ?? .null,
        "user": .optional(appender.user),
        "application": .optional(appender.application),
        "since": .optional(appender.since?.description),
      ])
    }
    out.json("open_appenders", .array(appenders))
    return out.finish()
  }
}
