import JSON
public import Ledger
import Log
import Postgres

/// Which dead steps to try again.
public struct DeadStepFilter: Sendable {
  public var kind: String?
  public var mission: StreamID?
  public var limit: Int

  public init(kind: String? = nil, mission: StreamID? = nil, limit: Int) {
    self.kind = kind
    self.mission = mission
    self.limit = limit
  }
}

extension Engine {
  /// Queues a dead step again, and those that were skipped because of it.
  ///
  /// - Returns: How many steps are queued again.
  /// - Throws: `OPS_011`; `OPS_012` for a step that is not dead.
  public func retry(_ id: StreamID, why: String?) throws(OpsError) -> Int {
    let requeued = try retry([id], why, isOne: true)
    wake()
    return requeued.steps
  }

  /// Queues every dead step of a kind again, a batch in an entry.
  ///
  /// - Returns: How many dead steps, and how many steps are queued again with them.
  public func retryDead(
    _ filter: DeadStepFilter, why: String?
  ) throws(OpsError) -> (dead: Int, steps: Int) {
    var total = (dead: 0, steps: 0)
    while total.dead < filter.limit {
      var parameters = Parameters()
      parameters.text(filter.kind)
      if let mission = filter.mission { parameters.uuid(mission) } else { parameters.null(.uuid) }
      parameters.int8(Int64(min(Self.retryBatch, filter.limit - total.dead)))
      let ids = try session.readBack(Self.dead, parameters).ids()
      if ids.isEmpty { break }
      let requeued = try retry(ids, why, isOne: false)
      // Others may have tried them again meanwhile.
      if requeued.dead == 0 { break }
      total.dead += requeued.dead
      total.steps += requeued.steps
    }
    if total.steps > 0 { wake() }
    return total
  }

  private static let retryBatch = 100
  private static let dead = Statement(
    """
    SELECT s.id FROM ops_mission_steps AS s
    WHERE s.status = 'failed' AND s.failure_count > 0 AND s.params <> '{"erased": true}' AND ($1::text IS NULL OR s.kind = $1::text)
      AND ($2::uuid IS NULL OR s.mission_id = $2::uuid)
    ORDER BY s.updated_at, s.id LIMIT $3::bigint
    """)
  /// Missions before their steps, as everywhere.
  private static let missionsOf = Statement(
    """
    SELECT \(Mission.select("m")) FROM ops_missions AS m WHERE m.id IN (
      SELECT s.mission_id FROM ops_mission_steps AS s WHERE s.id = ANY ($1::uuid[]))
    ORDER BY m.id FOR NO KEY UPDATE
    """)
  private static let siblingsOf = Statement(
    """
    SELECT \(Step.select("s")) FROM ops_mission_steps AS s WHERE s.mission_id IN (
      SELECT o.mission_id FROM ops_mission_steps AS o WHERE o.id = ANY ($1::uuid[]))
    ORDER BY s.id FOR NO KEY UPDATE
    """)

  private func retry(
    _ ids: [StreamID], _ why: String?, isOne: Bool
  ) throws(OpsError) -> (dead: Int, steps: Int) {
    var named = Parameters()
    named.uuids(ids)
    var requeued = (dead: 0, steps: 0)
    let command = Command(load: [(Self.missionsOf, named), (Self.siblingsOf, named)]) {
      (answers, draft) throws(OpsError) in
      requeued = (0, 0)
      for mission in try answers[0].rows(of: Mission.self) {
        try draft.load(mission, as: mission.id)
      }
      for step in try answers[1].rows(of: Step.self) { try draft.load(step, as: step.id) }
      for id in ids {
        guard let step = draft.row(id, of: Step.self) else {
          if isOne { throw OpsError.notFound("step", id) }
          continue
        }
        if !isOne, step.phase != .dead || step.isErased { continue }
        requeued.steps += try draft.retry(step, why: why)
        requeued.dead += 1
      }
      return .array([.int(requeued.dead), .int(requeued.steps)])
    }
    let committed = try perform(command)
    if committed.isRepeat, let counts = committed.result.arrayValue, counts.count == 2 {
      requeued = (counts[0].intValue ?? 0, counts[1].intValue ?? 0)
    }
    return requeued
  }
}
