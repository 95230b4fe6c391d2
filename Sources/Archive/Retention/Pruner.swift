import Ledger
import Log
import Postgres

/// Archives missions with their rows, a batch in one entry.
struct Pruner {
  /// What happened to one mission.
  enum Outcome: Equatable {
    case left
    /// An earlier run archived it.
    case gone
    /// A hold was placed on it.
    case held
    /// It changed since the plan.
    case changed
    /// The database refuses to let it go.
    case refused(OpsError)
  }

  struct Planned {
    let mission: StreamID
    let fingerprint: String
  }

  /// Missions in one transaction. A larger batch costs less for each mission, and a new hold waits longer.
  static let batch = 256

  let session: Session
  let actor: String
  let run: RetentionRun
  let segment: String
  /// The reactions that made each mission's proposal. Read once, since no index finds them.
  private let origins: [StreamID: [StreamID]]
  private let missions: Set<StreamID>
  /// The rows that holds kept when they were last read.
  private var held: HeldRows

  init(
    _ session: Session, _ run: RetentionRun, actor: String, segment: String
  ) throws(OpsError) {
    self.session = session
    self.actor = actor
    self.run = run
    self.segment = segment
    missions = Set(run.planned.map(\.mission))
    held = try session.heldRows(missions)
    let rows = try session.query(Self.reactionsOfMissions)
    origins = Dictionary(
      zip(try rows.ids(0), try rows.ids(1)).map { ($0, [$1]) }, uniquingKeysWith: +)
  }

  private static let reactionsOfMissions = Statement(
    """
    SELECT m.id, r.id FROM public.ops_agent_reactions AS r JOIN public.ops_missions AS m
      ON m.proposal_id::text = r.payload -> 'result' ->> 'r_proposal_id'
    WHERE m.status IN ('succeeded', 'failed')
    """)

  /// - Returns: The outcome for each mission, in their order.
  /// - Throws: Errors that concern all missions: the database is unreachable or read-only.
  mutating func prune(_ missions: ArraySlice<Planned>) throws(OpsError) -> [Outcome] {
    do throws(OpsError) {
      while true {
        if let outcomes = try once(missions) { return outcomes }
        held = try session.heldRows(self.missions)
      }
    } catch {
      guard error.concernsOne else { throw error }
      // Halves the batch until the refused mission is alone.
      if missions.count == 1 { return [.refused(error)] }
      let middle = missions.startIndex + missions.count / 2
      return try prune(missions[..<middle]) + prune(missions[middle...])
    }
  }

  /// Locks first: the row that every hold locks, then the missions and their rows. What is read then stays true until the
  /// commit.
  ///
  /// - Returns: Nil if holds were placed or released since ``held`` was read.
  private func once(_ missions: ArraySlice<Planned>) throws(OpsError) -> [Outcome]? {
    let ids = missions.map(\.mission)
    var reads = Reads()
    _ = reads.add(Self.settings)
    _ = reads.add(Session.lockRetention)
    let holds = reads.rows(of: Hold.self, HeldRows.inForce)
    let leaving = LeavingRows.Asked(ids, origins: ids.flatMap { origins[$0] ?? [] }, in: &reads)
    let candidates = reads.add(
      Candidate.question, Candidate.parameters(run.policy, at: run.cut, missions: ids)
    ) { (rows) throws(OpsError) in try Candidate.all(rows) }
    let command = Command(reads) { (found, draft) throws(OpsError) -> [Outcome]? in
      guard held.isOf(try found[holds]) else { return nil }
      return try decide(missions, LeavingRows(leaving, found), try found[candidates], &draft)
    }
    // A refused batch is halved at once, without more attempts.
    let attempts = session.attemptsMax
    if missions.count > 1 { session.attemptsMax = 2 }
    defer { session.attemptsMax = attempts }
    return try session.perform(CommandKey(id: newCommandID(), actor: actor), command).answer
  }

  private func decide(
    _ missions: ArraySlice<Planned>, _ found: LeavingRows, _ remaining: [Candidate],
    _ draft: inout Draft
  ) throws(OpsError) -> [Outcome] {
    var rows = found
    var candidates: [StreamID: Candidate] = [:]
    for candidate in remaining { candidates[candidate.mission] = candidate }
    let outcomes = missions.map { planned -> Outcome in
      guard rows.holds(planned.mission) else { return .gone }
      guard let now = candidates[planned.mission], now.fingerprint == planned.fingerprint else {
        return .changed
      }
      if held.hold(on: planned.mission) != nil { return .held }
      return now.reason == nil ? .left : .changed
    }
    let leaving = zip(missions, outcomes).filter { $0.1 == .left }.map(\.0.mission)
    if !leaving.isEmpty { CrashSite.leaving.reach() }
    rows.settle(leaving: leaving)
    for mission in leaving {
      guard let one = rows.leaving(mission, origins: origins[mission] ?? []) else { continue }
      rows.note(try one.leave(&draft, segment: segment), of: one)
    }
    return outcomes
  }

  /// Uses indexes, even for a table that was small when its statement was planned. Waits only briefly for a locked row,
  /// since the whole batch waits with it.
  private static let settings = Statement(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '2s', true)")
}

extension OpsError {
  /// Whether the error may concern one mission only, so that others can be archived.
  fileprivate var concernsOne: Bool {
    switch code {
    case .databaseUnreachable: database.map { !$0.isShutDown } ?? false
    case .storeDiverged, .halted, .schemaMismatch: false
    default: true
    }
  }
}

extension DatabaseFault {
  /// Whether the server or the session ended.
  fileprivate var isShutDown: Bool {
    switch errorClass {
    case .connection, .resources, .intervention: true
    case .data, .constraint, .rollback, .syntax, .limits, .state, .system, .internal, nil: false
    }
  }
}
