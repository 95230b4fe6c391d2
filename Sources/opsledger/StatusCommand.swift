import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `status`: where the ledger stands.
enum StatusCommand {
  static let all = [status]

  static let status = Command(
    group: .start, name: "status", summary: "say where the ledger stands",
    examples: [.init(line: "status --json", meaning: "entry is the last that is sealed")]
  ) { (call) throws(OpsError) in
    let engine = try call.engine()
    try engine.session.requireLedger()
    let record = try engine.session.ledgerRecord()
    let status = try engine.session.status()
    let halt = try engine.policies().halt
    if call.wantsJSON {
      Output.standard.line(json(status, record, halt).text)
    } else {
      Output.standard.write(text(status, record, halt))
    }
    return .fine
  }

  private static func text(
    _ status: LedgerStatus, _ record: LedgerRecord, _ halt: String?
  ) -> String {
    let missions = Mission.Status.allCases.compactMap { label in
      status.missions[label].map { "\(Shown.count($0)) \(label.rawValue)" }
    }
    let beat =
      status.lastHeartbeat.map {
        "\(Shown.time($0)) (\(Timeline.duration(from: $0, to: status.now)) ago)"
      } ?? "never"
    var facts = [
      ("ledger", "\(record.title) (\(record.identity))"),
      ("sealed up to entry", Shown.count(status.entry)),
      ("loop", halt.map { "halted: \($0)" } ?? "running"), ("last heartbeat", beat),
      ("agent events to look at", Shown.count(status.unprocessedEvents)),
      ("reactions queued", Shown.count(status.queuedReactions)),
      ("proposals waiting", Shown.count(status.pendingProposals)),
      ("steps queued", Shown.count(status.queuedSteps)),
      ("steps running", Shown.count(status.runningSteps)),
      ("dead letters", Shown.count(status.deadSteps)),
      ("missions of 24 h", missions.isEmpty ? "none" : missions.joined(separator: ", ")),
    ]
    for append in status.openAppends {
      facts.append(
        (
          "seal held back",
          "at entry \(append.bound) by pid \(append.pid.map(String.init) ?? "none (prepared)"), "
            + "\(append.user ?? "?"), \(append.application ?? "?"), since "
            + Shown.time(append.since)
        ))
    }
    return Facts.text(facts)
  }

  private static func json(
    _ status: LedgerStatus, _ record: LedgerRecord, _ halt: String?
  ) -> JSON {
    .object([
      "entry": .int(status.entry), "ledger": .string(record.title),
      "identity": .string(record.identity.description), "halted": .bool(halt != nil),
      "halt_why": .optional(halt), "last_heartbeat": .optional(status.lastHeartbeat?.description),
      "now": .string(status.now.description),
      "queues": .object([
        "events": .int(status.unprocessedEvents), "reactions": .int(status.queuedReactions),
        "proposals": .int(status.pendingProposals), "steps": .int(status.queuedSteps),
      ]),
      "running_steps": .int(status.runningSteps), "dead_letters": .int(status.deadSteps),
      "missions_24h": .object(
        Dictionary(
          status.missions.map { ($0.key.rawValue, JSON.int($0.value)) }, uniquingKeysWith: { $1 })),
      "server_version": .int(status.serverVersion),
      "open_appends": .array(
        status.openAppends.map { append in
          .object([
            "bound": .int(append.bound), "pid": append.pid.map(JSON.int) ?? .null,
            "user": .optional(append.user), "application": .optional(append.application),
            "since": .optional(append.since?.description),
          ])
        }),
    ])
  }
}
