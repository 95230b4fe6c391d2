public import Ledger
import Postgres

/// One step with the rows that explain its status.
public struct StepStory: Sendable {
  public var step: Step
  public var mission: Mission?
  /// The steps that it needs, in the mission's order.
  public var needed: [Step]
  /// Its attempts, the last first.
  public var runs: [Run]
  /// The database's clock.
  public var now: Instant
}

extension Session {
  /// - Throws: `OPS_011` if there is no such step.
  public func story(ofStep id: StreamID) throws(OpsError) -> StepStory {
    let one = Parameters(id)
    return try HistoryReader.read(
      self,
      first: [
        (Step.byID, one), (Self.stepMission, one), (Self.neededSteps, one), (Self.stepRuns, one),
        (Self.clock, Parameters()),
      ]
    ) { (answers, _) throws(OpsError) in
      guard answers[0].count == 1 else { throw OpsError.notFound("step", id) }
      return StepStory(
        step: try answers[0].row(0, of: Step.self),
        mission: try answers[1].rows(of: Mission.self).first,
        needed: try answers[2].rows(of: Step.self), runs: try answers[3].rows(of: Run.self),
        now: try answers[4].clock())
    }
  }

  private static let stepMission = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m WHERE m.id =
      (SELECT s.mission_id FROM public.ops_mission_steps AS s WHERE s.id = $1::uuid)
    """)
  private static let neededSteps = Statement(
    """
    SELECT \(Step.select("p")) FROM public.ops_mission_steps AS p
      JOIN public.ops_mission_steps AS s ON s.mission_id = p.mission_id AND p.ordinal = ANY (s.needs)
    WHERE s.id = $1::uuid ORDER BY p.ordinal, p.id
    """)
  private static let stepRuns = Statement(
    """
    SELECT \(Run.select("r")) FROM public.ops_action_runs AS r WHERE r.step_id = $1::uuid
    ORDER BY r.started_at DESC, r.id DESC LIMIT 100
    """)
}
