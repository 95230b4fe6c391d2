import Archive
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// What `status` says, for people and for programs.
struct StatusReport {
  struct Store {
    var place: String
    var status: StoreStatus
  }

  var status: LedgerStatus
  var ledger: LedgerRecord
  /// Those that were named.
  var stores: [Store]
  var policies: [PolicyFault]
  /// Those that may not run.
  var executors: [ExecutorStatus]
  var halt: String?

  // MARK: For people

  func facts(halted: String) -> [(String, String)] {
    let missions = Mission.Status.allCases.map { "\(status.missions24h[$0.rawValue] ?? 0) \($0)" }
    var facts = [
      ("ledger", "\(ledger.title), \(ledger.identity)"),
      (
        "database",
        "\(status.database) on PostgreSQL \(status.server), schema \(status.lastMigration)"
      ),
      ("loop", halted.isEmpty ? "running" : halted),
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
      ("entries", "sealed up to \(status.sealed), drawn up to \(status.allocated)"),
    ]
    for passed in status.quarantined {
      facts.append(
        ("passed over", Terminal.printable("\(passed.rowType) \(passed.row): \(passed.why)")))
    }
    let more = status.quarantinedCount - Int64(status.quarantined.count)
    if more > 0 { facts.append(("", "and \(Shown.count(more)) more rows are passed over")) }
    if let refusal = status.refusal { facts.append(("refuses", refusal)) }
    facts += policies.map { ("policy", $0.words) }
    facts += executors.map { ("executor", "\($0.name) \(ExecutorCommands.text($0.state))") }
    if !status.emptiedTables.isEmpty {
      facts.append(
        (
          "emptied",
          "\(status.emptiedTables.joined(separator: ", ")): no row is left, and the log has some; "
            + "`opsledger verify` compares, `opsledger rebuild` brings them back"
        ))
    }
    facts += storeFacts
    facts += status.taskLeases.map { ("runs now", Terminal.printable($0.text)) }
    facts += status.lockHolders.map { ("in the way", Terminal.printable($0)) }
    for appender in status.appenders { facts.append(("open append", line(appender))) }
    return facts
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
        "none is named (--store, OPS_STORE); the last push that is noted here ended with entry \(stored)"
      )
    ]
  }

  private func words(_ store: StoreStatus) -> String {
    switch store {
    case .upTo(let lastEntry, nil): return "has everything, up to entry \(lastEntry)"
    case .upTo(let lastEntry, let since?):
      let span = Shown.span(from: since, to: status.now)
      return lastEntry == 0
        ? "has nothing yet, and nothing of the last \(span)"
        : "has everything up to entry \(lastEntry), and nothing of the last \(span)"
    case .differs(let lastEntry):
      return
        "is ahead of this database, or differs from it, at entry \(lastEntry): `opsledger restore` settles it"
    case .absent:
      return
        "unknown: cannot be read (there is no store there; `opsledger archive push` begins one)"
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

  var json: String {
    var out = JSONObjectWriter()
    out.int("entry", status.sealed)
    out.int("drawn", status.allocated)
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
    out.json("stores", .array(stores.map(Self.json)))
    out.json("queues", queues)
    out.json("missions_24h", .object(status.missions24h.mapValues(JSON.int)))
    out.int("dead_letters_24h", status.deadLetters24h)
    out.int("refused_today", status.refusedToday)
    out.int("quarantined_count", status.quarantinedCount)
    out.json(
      "quarantined",
      .array(
        status.quarantined.map { passed in
          .object([
            "row_type": .string(passed.rowType), "row": .string(passed.row.description),
            "why": .string(passed.why), "since": .string(passed.since.description),
            "by": .string(passed.by),
          ])
        }))
    out.json("broken_policies", .array(policies.map(Self.json)))
    out.raw(
      "stopped_executors", "[" + executors.map(ExecutorCommands.json).joined(separator: ", ") + "]")
    out.json("emptied_tables", .array(status.emptiedTables.map(JSON.string)))
    out.json("open_appenders", .array(status.appenders.map(Self.json)))
    let taskLeases = status.taskLeases.map { taskLease in
      JSON.object([
        "task": .string(taskLease.task), "by": .string(taskLease.name),
        "since": .string(taskLease.since.description),
      ])
    }
    out.json("task_leases", .array(taskLeases))
    out.json("lock_holders", .array(status.lockHolders.map(JSON.string)))
    return out.finish()
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

  private static func json(_ appender: LedgerStatus.Appender) -> JSON {
    .object([
      "bound": .int(appender.bound), "pid": appender.pid.map(JSON.int) ?? .null,
      "user": .optional(appender.user), "application": .optional(appender.application),
      "since": .optional(appender.since?.description),
    ])
  }

  private static func json(_ fault: PolicyFault) -> JSON {
    .object([
      "key": .string(fault.key), "code": .string(fault.error.code.rawValue),
      "error": .string(fault.error.message), "consequence": .string(fault.consequence),
      "version_in_force": fault.versionInForce.map(JSON.int) ?? .null,
    ])
  }

  private static func json(_ store: Store) -> JSON {
    let (state, lastEntry, since, reason): (String, Int64?, Instant?, String?) =
      switch store.status {
      case .upTo(let lastEntry, let since):
        (since == nil ? "complete" : "behind", lastEntry, since, nil)
      case .differs(let lastEntry): ("differs", lastEntry, nil, nil)
      case .absent: ("absent", nil, nil, nil)
      case .foreign(let title, let identity): ("foreign", nil, nil, "\(title) (\(identity))")
      case .unknown(let reason): ("unknown", nil, nil, reason)
      }
    return .object([
      "store": .string(store.place), "state": .string(state),
      "entry": lastEntry.map(JSON.int) ?? .null,
      "unstored_since": .optional(since?.description), "reason": .optional(reason),
    ])
  }
}
