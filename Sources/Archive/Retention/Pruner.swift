import JSON
import Ledger
import Log
import Postgres

/// Takes missions out of the tables, a batch in one entry, each with all that goes with it.
struct Pruner {
  /// What became of one mission.
  enum Outcome: Equatable {
    case left
    /// It had left before.
    case gone
    /// A hold was placed on it.
    case held
    /// Something happened to it since it was planned.
    case changed
    /// The database refuses it.
    case refused(OpsError)
  }

  struct Planned {
    let mission: StreamID
    let fingerprint: String
  }

  /// Missions in one transaction: what a statement costs is shared, and a hold that is placed meanwhile waits for as
  /// long as one batch takes.
  static let batch = 256

  let session: Session
  let actor: String
  let policy: RetentionPolicy
  let cut: Instant
  let segment: String
  /// The reactions that made each mission's proposal: looked for once, since no index finds them.
  private let origins: [StreamID: [StreamID]]
  private let missions: Set<StreamID>
  /// What the holds kept when they were last asked.
  private var held: HeldRows

  init(
    _ session: Session, _ plan: RetentionPlan, _ missions: [StreamID], actor: String,
    segment: String
  ) throws(OpsError) {
    self.session = session
    self.actor = actor
    self.segment = segment
    policy = plan.policy
    cut = plan.cut
    self.missions = Set(missions)
    held = try session.heldRows(self.missions)
    let rows = try session.query(Self.reactionsOfMissions)
    origins = try onDatabase { () throws(PostgresError) in
      var origins: [StreamID: [StreamID]] = [:]
      for row in 0..<rows.count {
        origins[StreamID(try rows.uuid(row, 0)), default: []].append(
          StreamID(try rows.uuid(row, 1)))
      }
      return origins
    }
  }

  private static let reactionsOfMissions = Statement(
    """
    SELECT m.id, r.id FROM public.ops_agent_reactions AS r JOIN public.ops_missions AS m
      ON m.proposal_id::text = r.payload -> 'result' ->> 'r_proposal_id'
    WHERE m.status IN ('succeeded', 'failed')
    """)

  /// - Returns: What became of each, in the order of the missions.
  /// - Throws: What concerns all missions: the database is out of reach, or may not be written.
  mutating func prune(_ missions: ArraySlice<Planned>) throws(OpsError) -> [Outcome] {
    do throws(OpsError) {
      while true {
        if let outcomes = try once(missions) { return outcomes }
        held = try session.heldRows(self.missions)
      }
    } catch {
      guard error.concernsOne else { throw error }
      // The one that is refused is found by halves, and the others leave.
      if missions.count == 1 { return [.refused(error)] }
      let middle = missions.startIndex + missions.count / 2
      return try prune(missions[..<middle]) + prune(missions[middle...])
    }
  }

  /// The locks first: the row that holds lock too, then the missions and their rows; what is asked then is as it stays
  /// until the commit.
  ///
  /// - Returns: Nil where holds were placed or released since it was asked which missions they keep.
  private func once(_ missions: ArraySlice<Planned>) throws(OpsError) -> [Outcome]? {
    let ids = missions.map(\.mission)
    var reads = Reads()
    _ = reads.add(Self.settings)
    _ = reads.add(Session.lockRetention)
    let holds = reads.rows(of: Hold.self, HeldRows.inForce)
    let leaving = LeavingRows.Asked(ids, origins: ids.flatMap { origins[$0] ?? [] }, in: &reads)
    let candidates = reads.add(
      Candidate.question, Candidate.parameters(policy, at: cut, missions: ids)
    ) { (rows) throws(OpsError) in try Candidate.all(rows) }
    let command = Command(reads) { (found, draft) throws(OpsError) -> [Outcome]? in
      guard held.isOf(try found[holds]) else { return nil }
      return try decide(missions, LeavingRows(leaving, found), try found[candidates], &draft)
    }
    // A batch that is refused is divided at once, and not tried again as it is.
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

  /// Each look-up is by an index, also where a table was small when its statement was planned; and a row that
  /// somebody has locked is waited for a moment only, since the whole batch waits with it.
  private static let settings = Statement(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('lock_timeout', '2s', true)")
}

extension OpsError {
  /// Whether it may be about one mission's rows only, and others can still leave.
  fileprivate var concernsOne: Bool {
    switch code {
    case .databaseUnreachable: database.map { !$0.isShutDown } ?? false
    case .storeDiverged, .halted, .schemaMismatch: false
    default: true
    }
  }
}

extension DatabaseFault {
  /// The server, or the session, ended.
  fileprivate var isShutDown: Bool {
    switch errorClass {
    case .connection, .resources, .intervention: true
    case .data, .constraint, .rollback, .syntax, .limits, .state, .system, .internal, nil: false
    }
  }
}
