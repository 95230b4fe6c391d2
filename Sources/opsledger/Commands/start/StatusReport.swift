import Archive
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// The output of `status`, for people and for programs.
struct StatusReport {
  struct Store {
    var place: String
    var status: StoreStatus
  }

  var status: LedgerStatus
  var ledger: LedgerRecord
  /// The stores that were named.
  var stores: [Store]
  var policies: [PolicyFault]
  /// Executors that may not run.
  var executors: [ExecutorStatus]
  var halt: String?

  // MARK: For people

  func facts(halted: String?) -> [(String, String)] {
    let missions = Mission.Status.allCases.map { "\(status.missions24h[$0.rawValue] ?? 0) \($0)" }
    var facts = [
      ("ledger", "\(ledger.title), \(ledger.identity)"),
      (
        "database",
        "\(status.database) on PostgreSQL \(status.server), schema \(status.lastMigration)"
      ),
      ("loop", halted ?? "running"),
      ("heartbeat", heartbeat),
      ("agent events", "\(Shown.count(status.unprocessedEvents)) not processed"),
      ("reactions", "\(Shown.count(status.queuedReactions)) queued"),
      ("proposals", proposals),
      (
        "steps",
        "\(Shown.count(status.steps["queued"] ?? 0)) queued, "
          + "\(Shown.count(status.steps["running"] ?? 0)) running, "
          + "\(Shown.count(status.deadLetters24h)) dead in 24 h"
      ),
      ("missions, 24 h", missions.joined(separator: ", ")),
      ("entries", "sealed up to \(status.sealed), allocated up to \(status.allocated)"),
    ]
    facts += status.quarantined.map { ("quarantined", "\($0.rowType) \($0.row): \($0.why)") }
    let more = status.quarantinedCount - Int64(status.quarantined.count)
    if more > 0 { facts.append(("", "and \(Shown.count(more)) more quarantined rows")) }
    if let refusal = status.refusal { facts.append(("refuses", refusal)) }
    facts += policies.map { ("policy", $0.words) }
    facts += executors.map { ("executor", "\($0.name) \(ExecutorCommands.text($0.state))") }
    if !status.emptiedTables.isEmpty {
      facts.append(
        (
          "emptied",
          "\(status.emptiedTables.joined(separator: ", ")): the log has rows, the table has none; "
            + "`opsledger rebuild` brings them back"
        ))
    }
    facts += storeFacts
    facts += status.taskLeases.map { ("runs now", $0.text) }
    facts += status.lockHolders.map { ("blocks others", $0) }
    return facts + status.appenders.map { ("open append", line($0)) }
  }

  private var heartbeat: String {
    guard let last = status.heartbeat else { return "none yet" }
    let ago = Shown.ago(last.at, now: status.now)
    return "\(last.succeeded ? "succeeded" : "failed") \(ago), \(Shown.time(last.at))"
  }

  private var proposals: String {
    "\(Shown.count(status.pendingProposals)) wait for a decision"
      + (status.refusedToday > 0
        ? ", \(Shown.count(status.refusedToday)) refused by the caps today" : "")
  }

  private var storeFacts: [(String, String)] {
    if !stores.isEmpty { return stores.map { ("store", "\($0.place): \(words($0.status))") } }
    guard let stored = status.stored else { return [("store", "nothing was pushed yet")] }
    return [
      (
        "store",
        "none is named (--store, OPS_STORE); the last recorded push ended with entry \(stored)"
      )
    ]
  }

  private func words(_ store: StoreStatus) -> String {
    switch store {
    case .upTo(let last, nil): return "has everything, up to entry \(last)"
    case .upTo(let last, let since?):
      let span = Shown.span(from: since, to: status.now)
      return last == 0
        ? "has no entry yet, and lacks the last \(span)"
        : "has everything up to entry \(last), and lacks the last \(span)"
    case .differs(let last):
      return "its entry \(last) is not in this database, or differs: see `opsledger restore`"
    case .absent: return "unknown: there is no store there; `opsledger archive push` begins one"
    case .foreign(let title, let identity):
      return "is the store of another ledger, \(title) (\(identity))"
    case .unknown(let reason): return "unknown: cannot be read (\(reason))"
    }
  }

  private func line(_ appender: LedgerStatus.Appender) -> String {
    guard let pid = appender.pid else {
      return "a prepared transaction (see pg_prepared_xacts) holds the seal back"
    }
    let since = appender.since.map { " for \(Shown.span(from: $0, to: status.now))" } ?? ""
    return "pid \(pid), user \(appender.user ?? "?"), \(appender.application ?? ""), "
      + "holds the seal back at \(appender.bound)\(since)"
  }

  // MARK: For programs

  func json(_ out: inout JSONObjectWriter) {
    out.int("entry", status.sealed)
    out.int("allocated", status.allocated)
    out.string("name", ledger.title)
    out.string("identity", ledger.identity.description)
    out.string("database", status.database)
    out.string("server_version", status.server)
    out.string("schema", status.lastMigration)
    out.string("release", Installer.release)
    out.string("now", status.now.description)
    out.optional("halted", halt)
    out.optional("last_heartbeat", status.heartbeat?.at.description)
    out.json("last_heartbeat_ok", status.heartbeat.map { .bool($0.succeeded) } ?? .null)
    out.optional("refusal", status.refusal)
    out.optional("stored_entry", status.stored)
    out.optional("unstored_since", status.unstoredSince?.description)
    out.list("stores", stores, Self.json)
    out.json("queues", queues)
    out.json("missions_24h", .object(status.missions24h.mapValues(JSON.int)))
    out.int("dead_letters_24h", status.deadLetters24h)
    out.int("refused_today", status.refusedToday)
    out.int("quarantined_count", status.quarantinedCount)
    out.list("quarantined", status.quarantined) { passed, out in
      out.string("row_type", passed.rowType)
      out.string("row", passed.row.description)
      out.string("why", passed.why)
      out.string("since", passed.since.description)
      out.string("by", passed.by)
    }
    out.list("broken_policies", policies, Self.json)
    out.list("stopped_executors", executors, ExecutorCommands.json)
    out.list("emptied_tables", status.emptiedTables)
    out.list("open_appenders", status.appenders, Self.json)
    out.list("task_leases", status.taskLeases) { taskLease, out in
      out.string("task", taskLease.task)
      out.string("by", taskLease.name)
      out.string("since", taskLease.since.description)
    }
    out.list("lock_holders", status.lockHolders)
  }

  private var queues: JSON {
    .object([
      "unprocessed_events": .int(status.unprocessedEvents),
      "queued_reactions": .int(status.queuedReactions),
      "pending_proposals": .int(status.pendingProposals),
      "queued_steps": .int(status.steps["queued"] ?? 0),
      "running_steps": .int(status.steps["running"] ?? 0),
    ])
  }

  private static func json(_ appender: LedgerStatus.Appender, _ out: inout JSONObjectWriter) {
    out.int("bound", appender.bound)
    out.optional("pid", appender.pid)
    out.optional("user", appender.user)
    out.optional("application", appender.application)
    out.optional("since", appender.since?.description)
  }

  private static func json(_ fault: PolicyFault, _ out: inout JSONObjectWriter) {
    out.string("key", fault.key)
    out.string("code", fault.error.code.rawValue)
    out.string("error", fault.error.message)
    out.string("consequence", fault.consequence)
    out.optional("version_in_force", fault.versionInForce)
  }

  private static func json(_ store: Store, _ out: inout JSONObjectWriter) {
    let (state, lastEntry, since, reason): (String, Int64?, Instant?, String?) =
      switch store.status {
      case .upTo(let lastEntry, let since):
        (since == nil ? "complete" : "behind", lastEntry, since, nil)
      case .differs(let lastEntry): ("differs", lastEntry, nil, nil)
      case .absent: ("absent", nil, nil, nil)
      case .foreign(let title, let identity): ("foreign", nil, nil, "\(title) (\(identity))")
      case .unknown(let reason): ("unknown", nil, nil, reason)
      }
    out.string("store", store.place)
    out.string("state", state)
    out.optional("entry", lastEntry)
    out.optional("unstored_since", since?.description)
    out.optional("reason", reason)
  }
}
