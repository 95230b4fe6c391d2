import Archive
import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import TestSupport
import Testing

/// A random ledger with holds: events of some sources that lead to missions, which lead to others, list what others
/// found, fail; manual changes that change what ties them together; time that passes. It notes all rows as they are after each
/// act, for ``HoldOracle``.
struct HoldGame {
  let ledger: TestLedger
  private var random: Generator
  private let files = MemoryStore()
  private var oracle = HoldOracle()
  private static let sources = ["ant", "bee", "cat"]
  private static let day = 86_400.0

  /// - Parameter chains: Whether the end of a mission leads to another; nil: in every other ledger.
  init(_ ledger: TestLedger, _ seed: UInt64, chains: Bool? = nil) throws {
    self.ledger = ledger
    random = Generator(seed: seed)
    let chains = chains ?? random.flip()
    let engine = try ledger.engine()
    func set(_ key: String, _ text: String) throws {
      _ = try engine.setPolicy(key, to: JSON(parsing: text), why: "test")
    }
    try set("proposal_caps", "{}")
    try set(
      "retention", #"{"succeeded_days": 0.5, "failed_days": 0.5, "log_days": 0.5, "copies": 1}"#)
    func pattern(_ id: String, _ type: String, _ steps: String...) -> String {
      """
      {"id": "\(id)", "event_type": "\(type)", "template": {"title": "\(id)", "risk_level": "low",
        "steps": [\(steps.joined(separator: ", "))]}}
      """
    }
    let noop = #"{"kind": "noop"}"#
    let failing = #"{"kind": "noop", "params": {"error": "no"}, "max_retries": 1}"#
    let found =
      #"{"kind": "radar", "params": {"action": "add", "params": {"title": "{{ event.data.note }}"}}}"#
    let list = #"{"kind": "radar", "params": {"action": "list"}}"#
    var patterns = [
      pattern("once", "test:once", noop), pattern("twice", "test:twice", noop),
      pattern("again", "test:twice", noop), pattern("found", "test:found", found),
      pattern("list", "test:list", list, noop), pattern("broken", "test:broken", failing),
      pattern("heard", "step:radar:succeeded", noop),
    ]
    if chains {
      patterns += [
        pattern("next", "mission:succeeded", noop), pattern("sorry", "mission:failed", noop),
      ]
    }
    try set(
      "reaction_matrix",
      #"{"max_causation_depth": 2, "patterns": [\#(patterns.joined(separator: ", "))]}"#)
  }

  // MARK: Acts

  mutating func emit(source: String?, kind: String) throws {
    var data: [String: JSON] = ["note": .string("note \(random.below(1_000_000))")]
    if let source { data["source"] = .string(source) }
    _ = try ledger.engine().emit(
      AgentEvent.Report(type: "test:" + kind, data: JSON.object(data).text))
  }

  /// Until nothing is left to do.
  mutating func work() throws {
    let engine = try ledger.engine()
    for _ in 0..<3 {
      _ = try engine.heartbeat(drain: true) { _ in }
      _ = try Worker(
        engine, Worker.Options(name: "host-1"), shouldStop: { false }, report: { _ in }
      ).run()
    }
    _ = try engine.heartbeat(drain: true) { _ in }
    try oracle.note(ledger)
  }

  mutating func play() throws {
    for _ in 0..<(1 + random.below(3)) {
      for _ in 0..<(1 + random.below(2)) {
        try emit(
          source: random.maybe { $0.pick(Self.sources) },
          kind: random.pick(["once", "twice", "found", "list", "broken"]))
      }
      try work()
      if random.flip() { try actByHand() }
      try ledger.moveClock(seconds: Double(random.below(30)) * Self.day + 60)
    }
    try placeHolds()
  }

  private mutating func actByHand() throws {
    let mission = try pick("SELECT id FROM ops_missions")
    let event = try pick("SELECT id FROM ops_agent_events WHERE type LIKE 'test:%'")
    let report = try pick("SELECT id FROM ops_agent_events WHERE mission_id IS NOT NULL")
    let source = random.pick(Self.sources)
    let days = 1 + random.below(40)
    guard let mission, let event, let report else { return }
    let sql =
      switch random.below(8) {
      case 0:
        "UPDATE ops_agent_events SET data = data || '{\"source\": \"\(source)\"}' WHERE id = '\(event)'"
      case 1: "DELETE FROM ops_agent_events WHERE id = '\(report)'"
      case 2: "UPDATE ops_agent_events SET mission_id = '\(mission)' WHERE id = '\(report)'"
      case 3:
        "UPDATE ops_missions SET created_at = created_at - interval '\(days) days' WHERE id = '\(mission)'"
      case 4: "UPDATE ops_missions SET completed_at = created_at WHERE id = '\(mission)'"
      case 5:
        """
        INSERT INTO ops_missions (status, created_at, completed_at) VALUES ('failed',
          ledger.now() - interval '\(days + 3) days', ledger.now() - interval '\(days) days')
        """
      case 6: "DELETE FROM ops_agent_reactions WHERE event_id = '\(event)'"
      default:
        """
        INSERT INTO ops_agent_events (type, data, mission_id, processed_at)
          VALUES ('note', '{"source": "\(source)"}', '\(mission)', ledger.now())
        """
      }
    try ledger.execute(sql)
    try oracle.note(ledger)
  }

  private mutating func pick(_ sql: String) throws -> StreamID? {
    let ids = try ledger.lines(sql + " ORDER BY 1").compactMap { StreamID($0) }
    return ids.isEmpty ? nil : random.pick(ids)
  }

  /// Some holds, of which a few are released again.
  mutating func placeHolds() throws {
    let engine = try ledger.engine()
    let now = try ledger.session().now()
    for _ in 0..<(1 + random.below(2)) {
      let scope: Hold.Scope
      switch random.below(3) {
      case 0: scope = .mission(random.pick(oracle.missions.sorted()))
      case 1: scope = .source(random.pick(Self.sources))
      default:
        let from = now.adding(seconds: -Double(random.below(90)) * Self.day)
        scope = .time(from: from, until: from.adding(seconds: Double(random.below(8)) * Self.day))
      }
      let id = try engine.placeHold(scope, why: "test")
      if random.below(5) == 0 {
        _ = try engine.releaseHold(id, why: "test")
      } else {
        oracle.holds[id] = scope
      }
    }
  }

  /// What retention lets go; in every other ledger the log's beginning goes, too.
  mutating func archive() throws {
    try ledger.execute(
      "UPDATE ops_agent_events SET processed_at = ledger.now() WHERE processed_at IS NULL")
    try ledger.moveClock(seconds: 2 * Self.day)
    if random.flip() {
      try ledger.execute("SELECT ledger.adopt_instance(1000005), ledger.add_partitions()")
    }
    _ = try ledger.engine().emit(AgentEvent.Report(type: "test:last", data: "{}"))
    let digest = try plan().digest
    let report = try Retention(session(), [files], actor: "test").apply(plan: digest)
    #expect(report.isComplete, "\(report)")
  }

  /// The missions that left come back, the last first, as their rows refer to those of no earlier one.
  mutating func restore() throws {
    let restorer = MissionRestorer(try session(), actor: "test")
    let gone = try ledger.lines(
      """
      SELECT stream FROM ledger.tombstones AS t WHERE row_type = 'mission'
        AND NOT EXISTS (SELECT FROM ops_missions AS m WHERE m.id = t.stream) ORDER BY stream DESC
      """)
    for mission in gone.compactMap({ StreamID($0) }) {
      do throws(OpsError) {
        let hold = try restorer.run(mission).hold
        #expect(
          (hold != nil) == oracle.keeps(mission),
          "archive restore says \(hold as Any) of \(mission)")
        if let hold { #expect(oracle.keeps(mission, by: hold)) }
      } catch {
        // What a manual change removed, its rows may refer to.
        #expect(error.code == .conflict || error.code == .notAllowed, "\(error)")
      }
    }
  }

  // MARK: Asking

  func session() throws -> Session {
    var target = ledger.target
    if try ledger.count("ledger.archived_partitions") > 0 { target.archivedLog = StoredLog(files) }
    return try Session(target)
  }

  func plan() throws -> RetentionPlan { try session().retentionPlan() }

  /// Whether a hold is why this mission is not erased; it is not erased anyway.
  func holdRefuses(erasing mission: StreamID) throws -> Bool {
    let engine = try Engine(session(), actor: "test", settings: LoopSettings())
    do throws(OpsError) {
      _ =
        try engine
        .erase(.mission(mission), why: "test", onlyLooking: true)
      return false
    } catch {
      guard error.code == .notAllowed || error.code == .conflict else { throw error }
      return error.code == .notAllowed
    }
  }

  /// What retention and an erasure say of each mission is what the oracle says.
  mutating func compare(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let plan = try plan()
    for held in plan.held {
      #expect(
        oracle.keeps(held.mission, by: held.hold), "retention: \(held)",
        sourceLocation: sourceLocation)
    }
    for leaving in plan.leaving {
      #expect(
        !oracle.keeps(leaving.mission), "retention: \(leaving.mission) leaves",
        sourceLocation: sourceLocation)
    }
    let held = Set(plan.held.map(\.mission))
    for mission in oracle.missions.sorted().shuffled(using: &random).prefix(6) {
      let isRefused = try holdRefuses(erasing: mission)
      #expect(
        isRefused == oracle.keepsAny(of: oracle.erased(with: mission)), "erasure of \(mission)",
        sourceLocation: sourceLocation)
      #expect(isRefused || !held.contains(mission), sourceLocation: sourceLocation)
    }
  }
}
