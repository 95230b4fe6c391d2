import JSON
import Ledger
import Log
import Postgres

/// Takes missions out of the tables, each in an entry of its own with all that goes with it.
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
  }

  let session: Session
  let actor: String
  let policy: RetentionPolicy
  let cut: Instant
  let segment: String
  /// The reactions that made each mission's proposal: looked for once, since no index finds them.
  private let origins: [StreamID: [StreamID]]

  init(
    _ session: Session, _ plan: RetentionPlan, actor: String, segment: String
  ) throws(OpsError) {
    self.session = session
    self.actor = actor
    self.segment = segment
    policy = plan.policy
    cut = plan.cut
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
    SELECT m.id, r.id FROM ops_agent_reactions AS r JOIN ops_missions AS m
      ON m.proposal_id::text = r.payload -> 'result' ->> 'r_proposal_id'
    WHERE m.status IN ('succeeded', 'failed')
    """)

  /// The locks first: the row that holds lock too, then the mission and its rows; what is asked then is as it stays
  /// until the commit.
  func prune(_ mission: StreamID, fingerprint: String) throws(OpsError) -> Outcome {
    let candidate = (
      Candidate.question, Candidate.parameters(policy, at: cut, missions: [mission])
    )
    let loads =
      [(Session.lockRetention, Parameters())]
      + Leaving.load(mission, origins: origins[mission] ?? []) + [candidate]
    var outcome = Outcome.gone
    let command = Command(load: loads) { (answers, draft) throws(OpsError) in
      guard let leaving = try Leaving(answers[1...Leaving.loadCount]) else {
        outcome = .gone
        return .null
      }
      guard let now = try Candidate.all(answers[Leaving.loadCount + 1]).first,
        now.fingerprint == fingerprint, now.hold != nil || now.reason == nil
      else {
        outcome = .changed
        return .null
      }
      guard now.hold == nil else {
        outcome = .held
        return .null
      }
      CrashSite.leaving.reach()
      try leaving.leave(&draft, segment: segment)
      outcome = .left
      return .bool(true)
    }
    let committed = try session.perform(
      CommandKey(id: newCommandID(), actor: actor), command)
    return committed.entry == nil ? outcome : .left
  }
}
