import JSON
public import Ledger
import Log
import OpsLoop
import Postgres
public import Replay

/// The demo: the loop runs a day of agent events, then all tables are emptied, and a rebuild restores them.
public final class Demo {
  public struct Report: Sendable {
    public var eventsEmitted = 0
    public var counts: [(type: String, count: Int)] = []
    public var failureClasses: [String: Int] = [:]
    /// A mission with a step that was tried again and then died.
    public var mission: StreamID?
    public var rowsBefore: [(table: String, rows: Int)] = []
    public var rowsEmptied: [(table: String, rows: Int)] = []
    public var rebuild: RebuildReport?
    public var verify: VerifyReport?
    public var daySeconds = 0.0
    public var rebuildSeconds = 0.0
    public var verifySeconds = 0.0
    /// What the demo should have shown and did not.
    public var missing: [String] = []
  }

  private let superuser: Connection
  private let target: Session.Target
  /// A person at the command line, the heartbeat, and a worker.
  private let engine: Engine
  private let heart: Engine
  private let worker: Engine
  private let clock: DemoClock
  private let start: Instant
  private let say: (String) -> Void
  private var report = Report()

  /// - Parameters:
  ///   - superuserURL: An empty database for the demo.
  ///   - engineURL: The same database as the engine's login.
  ///   - say: Gets a line for each thing that happens.
  public init(
    superuserURL: String, engineURL: String, say: @escaping (String) -> Void
  ) throws(OpsError) {
    self.say = say
    target = Session.Target(url: engineURL, application: "opsledger demo")
    let installer = try Session(Session.Target(url: superuserURL, application: "opsledger demo"))
    let installed = try Installer.run(installer, name: "demo", actor: "demo")
    say("applied the schema, seeded \(installed.seeded.count) policies")
    (superuser, clock, start) = try onDatabase { () throws(PostgresError) in
      let superuser = try Connection(
        url: superuserURL, applicationName: "opsledger demo",
        settings: [("search_path", "pg_catalog, pg_temp")])
      let clock = try DemoClock(replacingOn: superuser)
      return (superuser, clock, try clock.now())
    }
    engine = Engine(try Session(target), actor: "cli/demo")
    heart = Engine(try Session(target), actor: "heartbeat")
    worker = Engine(try Session(target), actor: "worker/host-a")
  }

  public func run() throws(OpsError) -> Report {
    let began = monotonicSeconds()
    try playDay()
    report.daySeconds = monotonicSeconds() - began
    try readWhatHappened()
    try loseTables()
    try recover()
    checkPromises()
    return report
  }

  // MARK: - The day

  private func playDay() throws(OpsError) {
    let day = SampleDay()
    say("\(day.events.count) agent events in one day, by a clock that does not wait")
    var next = 0
    for minute in stride(from: 10, through: SampleDay.minutes, by: 10) {
      try onDatabase { () throws(PostgresError) in
        try clock.advance(to: start.adding(seconds: Double(minute) * 60))
      }
      while next < day.events.count, day.events[next].minute < minute {
        try emit(day.events[next])
        next += 1
      }
      try happen(atMinute: minute)
      _ = try heart.heartbeat(drain: true)
      try work()
      if minute % 180 == 0 { try sayWhere(minute, emitted: next) }
    }
    // Steps that a backoff put off run after midnight.
    for _ in 0..<4 {
      try onDatabase { () throws(PostgresError) in try clock.advance(seconds: 400) }
      _ = try heart.heartbeat(drain: true)
      try work()
    }
  }

  private func emit(_ event: SampleEvent) throws(OpsError) {
    _ = try engine.emit(
      AgentEvent.Report(type: event.type, data: event.data.text, dedupeKey: event.dedupeKey))
    report.eventsEmitted += 1
  }

  private func happen(atMinute minute: Int) throws(OpsError) {
    switch minute {
    case 6 * 60: try addBrokenPattern()
    case 8 * 60: try removeBrokenPattern()
    case 9 * 60: try crashWorker()
    case 13 * 60: try raiseCap()
    case 17 * 60: try decideWaiting()
    default: break
    }
  }

  /// Adds a pattern with an unknown executor: its reactions fail.
  private func addBrokenPattern() throws(OpsError) {
    let broken = JSON.object([
      "id": .string("deploy-on-signal"), "name": .string("Deploys when something is slow"),
      "event_type": .string("signal:latency"),
      "template": .object([
        "title": .string("Deploy: {{ event.data.message }}"), "risk_level": .string("low"),
        "steps": .array([.object(["kind": .string("deploy")])]),
      ]),
    ])
    try setPatterns(why: "deploy by ourselves when the edge is slow") { $0 + [broken] }
    for number in 1...3 {
      try emit(
        SampleEvent(
          minute: 6 * 60, type: "signal:latency",
          data: .object(["message": .string("p99 above 800 ms, probe \(number)")])))
    }
    say("06:00  a pattern is added whose executor does not exist")
  }

  private func removeBrokenPattern() throws(OpsError) {
    try setPatterns(why: "there is no executor deploy (OPS_005)", rollbackTo: 1) { patterns in
      patterns.filter { $0["id"]?.stringValue != "deploy-on-signal" }
    }
    say("08:00  the pattern is removed: its reactions failed with OPS_005")
  }

  private func setPatterns(
    why: String, rollbackTo: Int32? = nil, _ edit: ([JSON]) -> [JSON]
  ) throws(OpsError) {
    let rows = try engine.session.query(
      Statement("SELECT value FROM public.ops_policy WHERE key = 'reaction_matrix'"))
    let text = try onDatabase { () throws(PostgresError) in try rows.jsonb(0, 0) }
    guard var matrix = (try? JSON(parsing: text))?.objectValue,
      let patterns = matrix["patterns"]?.arrayValue
    else { return }
    matrix["patterns"] = .array(edit(patterns))
    _ = try engine.setPolicy(
      "reaction_matrix", to: .object(matrix), why: why, rollbackTo: rollbackTo)
  }

  /// A worker claims steps, and then does nothing.
  private func crashWorker() throws(OpsError) {
    for number in 1...4 {
      try emit(
        SampleEvent(
          minute: 9 * 60, type: "user:request",
          data: .object(["topic": .string("something before lunch (\(number))")])))
    }
    _ = try heart.heartbeat(drain: true)
    let lost = try engine.claim(3, worker: "worker/host-b")
    say("09:00  a worker dies while it holds \(lost.steps.count) steps; their leases expire")
    try onDatabase { () throws(PostgresError) in
      try clock.advance(seconds: engine.settings.leaseSeconds + 1)
    }
  }

  private func raiseCap() throws(OpsError) {
    _ = try engine.setPolicy(
      "proposal_caps", to: .object(["daily_limit": .int(400)]),
      why: "the cap of 100 was reached by noon, on an ordinary day")
    say("13:00  the daily cap is raised, since it refused proposals (OPS_003)")
  }

  /// A person approves most of the waiting proposals, and rejects some.
  private func decideWaiting() throws(OpsError) {
    let waiting = try engine.session.query(
      Statement(
        """
        SELECT id FROM public.ops_mission_proposals WHERE status IN ('pending', 'voting')
        ORDER BY created_at, id
        """))
    var (approved, rejected) = (0, 0)
    for (row, id) in try waiting.ids().enumerated() {
      if row % 3 == 2 {
        try engine.reject(id, why: "not this quarter")
        rejected += 1
      } else {
        _ = try engine.approve(id, why: "worth an hour")
        approved += 1
      }
    }
    say("17:00  a person approves \(approved) of the waiting proposals, and rejects \(rejected)")
  }

  private func work() throws(OpsError) {
    // This clock skips backoffs.
    for _ in 0..<4 {
      let worker = Worker(
        self.worker, Worker.Options(name: "worker/host-a"), shouldStop: { false }, report: { _ in })
      let done = try worker.run()
      guard let next = done.waiting?.nextAt else { break }
      try onDatabase { () throws(PostgresError) in try clock.advance(to: next) }
    }
  }

  private func sayWhere(_ minute: Int, emitted: Int) throws(OpsError) {
    let rows = try engine.session.query(
      Statement(
        """
        SELECT (SELECT count(*) FROM public.ops_missions WHERE status = 'succeeded'),
          (SELECT count(*) FROM public.ops_missions WHERE status = 'failed'), ledger.sealed()
        """))
    let (done, failed, entry) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.int8(0, 1), try rows.int8(0, 2))
    }
    let hour = minute / 60
    say(
      "\(hour < 10 ? "0" : "")\(hour):00  \(emitted) events so far; \(done) missions succeeded, "
        + "\(failed) failed; the sealed prefix ends at entry \(entry)")
  }

  // MARK: - What happened

  private func readWhatHappened() throws(OpsError) {
    let types = try engine.session.query(
      Statement("SELECT type, count(*) FROM ledger.events GROUP BY type ORDER BY type"))
    let classes = try engine.session.query(
      Statement(
        """
        SELECT data->>'class', count(*) FROM ledger.events WHERE type = '\(Step.eventType(.attemptFailed))'
        GROUP BY 1 ORDER BY 1
        """))
    let mission = try engine.session.query(
      Statement(
        """
        SELECT m.id FROM public.ops_missions AS m JOIN public.ops_mission_steps AS s ON s.mission_id = m.id
        WHERE m.status = 'failed' AND s.failure_count > 1 ORDER BY m.created_at LIMIT 1
        """))
    report.mission = try mission.ids().first
    try onDatabase { () throws(PostgresError) in
      report.counts = []
      for row in 0..<types.count {
        report.counts.append((try types.text(row, 0), Int(try types.int8(row, 1))))
      }
      for row in 0..<classes.count {
        report.failureClasses[try classes.text(row, 0)] = Int(try classes.int8(row, 1))
      }
    }
  }

  private func rowCounts() throws(OpsError) -> [(table: String, rows: Int)] {
    var counts: [(table: String, rows: Int)] = []
    for table in Self.tables {
      let rows = try engine.session.query(Statement("SELECT count(*) FROM public.\(table)"))
      let count = try onDatabase { () throws(PostgresError) in Int(try rows.int8(0, 0)) }
      counts.append((table, count))
    }
    return counts
  }

  private static let tables = [
    "ops_policy", "ops_mission_proposals", "ops_missions", "ops_mission_steps",
    "ops_agent_events", "ops_agent_reactions", "ops_action_runs", "ops_demand_radar",
  ]

  // MARK: - Disaster and recovery

  private func loseTables() throws(OpsError) {
    report.rowsBefore = try rowCounts()
    let list = Self.tables.map { "public.\($0)" }.joined(separator: ", ")
    func capture(_ state: String) -> String {
      Self.tables.map { "ALTER TABLE public.\($0) \(state) TRIGGER capture_truncate" }
        .joined(separator: "; ")
    }
    try onDatabase { () throws(PostgresError) in
      // Capture would record this. Only a superuser can permit himself to switch it off.
      try superuser.execute(
        """
        BEGIN; INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
        \(capture("DISABLE")); TRUNCATE \(list); \(capture("ENABLE ALWAYS"));
        DELETE FROM ledger.ddl_permits WHERE xid = pg_current_xact_id(); COMMIT
        """)
    }
    report.rowsEmptied = try rowCounts()
    say("all eight tables emptied; the log has no event of it")
  }

  private func recover() throws(OpsError) {
    let began = monotonicSeconds()
    report.rebuild = try Rebuilder.run(target, actor: "demo", checkOnly: false)
    report.rebuildSeconds = monotonicSeconds() - began
    say("rebuilt from the log")
    let verifying = monotonicSeconds()
    report.verify = try Verifier.run(target)
    report.verifySeconds = monotonicSeconds() - verifying
    say("verified")
    // The rebuild recorded an event, too.
    try readWhatHappened()
  }

  // MARK: - Promises

  private func checkPromises() {
    let seen = Set(report.counts.map(\.type))
    report.missing = Self.promised.filter { !seen.contains($0) }.map { "no event \($0)" }
    let lost = Step.FailureClass.leaseExpired.rawValue
    if report.failureClasses[lost] == nil {
      report.missing.append("no \(Step.eventType(.attemptFailed)) of class \(lost)")
    }
    let compared = report.verify?.rows.values.reduce(0, +) ?? 0
    if compared < 2000 { report.missing.append("verify compared only \(compared) rows") }
    if report.verify?.isEqual != true { report.missing.append("the tables differ from the log") }
  }

  private static let promised: [String] =
    [.reported, .processed].map(AgentEvent.eventType)
    + [.queued, .done, .failed].map(Reaction.eventType)
    + [.submitted, .gateRefused, .autoApproved, .approved, .rejected].map(Proposal.eventType)
    + [.created, .started, .succeeded, .failed].map(Mission.eventType)
    + [
      .created, .leased, .succeeded, .attemptFailed, .retryScheduled, .deadLettered, .skipped,
    ].map(Step.eventType)
    + [.started, .succeeded, .failed].map(Run.eventType)
    + [Policy.eventType(.set)] + [.added, .updated].map(Radar.eventType)
    + [.created, .rebuilt].map(LedgerRecord.eventType)
}
