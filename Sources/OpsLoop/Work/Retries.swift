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

/// What was queued again.
public struct Requeued: Equatable, Sendable {
  /// Dead steps that were meant.
  public var dead = 0
  /// Steps that are queued again: these, and those that had been skipped because of them.
  public var steps = 0

  public init(dead: Int = 0, steps: Int = 0) {
    self.dead = dead
    self.steps = steps
  }
}

extension Engine {
  /// How many are queued again under one key: what is done once is one entry.
  public static let retriesUnderKeyMax = 1000

  func requireOneEntry(_ limit: Int) throws(OpsError) {
    guard limit > Self.retriesUnderKeyMax else { return }
    throw OpsError(
      .badInput, "under a key at most \(Self.retriesUnderKeyMax) are queued again, not \(limit)",
      hint: "say --limit \(Self.retriesUnderKeyMax), and give each further call a key of its own")
  }

  /// Queues a dead step again, and those that were skipped because of it.
  ///
  /// - Throws: `OPS_011`; `OPS_012` for a step that is not dead.
  public func retry(_ id: StreamID, why: String?) throws(OpsError) -> Requeued {
    let requeued = try retry([id], why, isOne: true, .patient)
    wake()
    return requeued
  }

  /// Queues every dead step of a kind again, a batch in an entry; all in one entry, where the request has a key.
  ///
  /// - Throws: `OPS_019` for more than ``retriesUnderKeyMax`` under a key.
  public func retryDead(_ filter: DeadStepFilter, why: String?) throws(OpsError) -> Requeued {
    if request != nil {
      try requireOneEntry(filter.limit)
      let ids = try deadSteps(filter, limit: filter.limit)
      let requeued = try retry(ids, why, isOne: false, .patient)
      wake()
      return requeued
    }
    var total = Requeued()
    while total.dead < filter.limit {
      let ids = try deadSteps(filter, limit: min(Self.retryBatch, filter.limit - total.dead))
      if ids.isEmpty { break }
      let requeued = try retryEach(ids, why)
      // Others may have tried them again meanwhile.
      if requeued.dead + requeued.passed == 0 { break }
      total.dead += requeued.dead
      total.steps += requeued.steps
    }
    if total.steps > 0 { wake() }
    return total
  }

  private func deadSteps(_ filter: DeadStepFilter, limit: Int) throws(OpsError) -> [StreamID] {
    var parameters = Parameters()
    parameters.text(filter.kind)
    if let mission = filter.mission { parameters.uuid(mission) } else { parameters.null(.uuid) }
    parameters.int8(Int64(limit))
    parameters.uuids(quarantined.skipped)
    return try session.readBack(Self.dead, parameters).ids()
  }

  /// All in one entry; where that is refused one by one, and who is refused alone is passed over.
  private func retryEach(
    _ ids: [StreamID], _ why: String?
  ) throws(OpsError) -> (dead: Int, steps: Int, passed: Int) {
    do throws(OpsError) {
      let all = try retry(ids, why, isOne: false, .once)
      return (all.dead, all.steps, 0)
    } catch { guard error.isOfARow else { throw error } }
    var sum = (dead: 0, steps: 0, passed: 0)
    for id in ids {
      do throws(OpsError) {
        let one = try retry([id], why, isOne: false, .brief)
        sum.dead += one.dead
        sum.steps += one.steps
      } catch {
        guard error.isOfARow else { throw error }
        quarantined.add(Quarantined(rowType: .step, row: id, error: error))
        sum.passed += 1
      }
    }
    return sum
  }

  private static let retryBatch = 100
  private static let dead = Statement(
    """
    SELECT s.id FROM public.ops_mission_steps AS s
    WHERE s.status = 'failed' AND s.failure_count BETWEEN 1 AND 2000000000
      AND s.id <> ALL ($4::uuid[]) AND s.params <> '{"erased": true}' AND ($1::text IS NULL OR s.kind = $1::text)
      AND ($2::uuid IS NULL OR s.mission_id = $2::uuid)
    ORDER BY s.updated_at, s.id LIMIT $3::bigint
    """)
  /// Missions before their steps, as everywhere.
  private static let missionsOf = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m WHERE m.id IN (
      SELECT s.mission_id FROM public.ops_mission_steps AS s WHERE s.id = ANY ($1::uuid[]))
    ORDER BY m.id FOR NO KEY UPDATE
    """)
  private static let siblingsOf = Statement(
    """
    SELECT \(Step.select("s")) FROM public.ops_mission_steps AS s WHERE s.mission_id IN (
      SELECT o.mission_id FROM public.ops_mission_steps AS o WHERE o.id = ANY ($1::uuid[]))
    ORDER BY s.id FOR NO KEY UPDATE
    """)

  private func retry(
    _ ids: [StreamID], _ why: String?, isOne: Bool, _ lockWait: LockWait
  ) throws(OpsError) -> Requeued {
    var named = Parameters()
    named.uuids(ids)
    var reads = Reads()
    let missions = reads.rows(of: Mission.self, Self.missionsOf, named)
    let steps = reads.rows(of: Step.self, Self.siblingsOf, named)
    var command = Command(reads) { (found, draft) throws(OpsError) -> Requeued in
      var requeued = Requeued()
      for mission in try found[missions] { try draft.load(mission, as: mission.id) }
      for step in try found[steps] { try draft.load(step, as: step.id) }
      for id in ids {
        guard let step = draft.row(id, of: Step.self) else {
          if isOne { throw OpsError.notFound("step", id) }
          continue
        }
        if !isOne, step.phase != .dead || step.isErased { continue }
        requeued.steps += try draft.retry(step, why: why)
        requeued.dead += 1
      }
      return requeued
    }
    command.lockWait = lockWait
    return try answer(command).answer
  }
}

// MARK: - After a clock was set back

extension Engine {
  private static let hastenMax = 200
  /// As ``Ledger/Instant/isAfter(spanFrom:to:)`` has it: put off by a clock that was ahead, for longer than
  /// that clock meant.
  private static let isPutOff = """
    s.status = 'queued' AND s.not_before > s.updated_at AND s.updated_at > (SELECT ledger.now())
      AND extract(epoch FROM s.updated_at) - extract(epoch FROM (SELECT ledger.now()))
        > extract(epoch FROM s.not_before) - extract(epoch FROM s.updated_at)
      AND s.id <> ALL ($1::uuid[])
    """
  private static let hasPutOff = Statement(
    "SELECT EXISTS (SELECT FROM public.ops_mission_steps AS s WHERE s.not_before IS NOT NULL AND \(isPutOff))"
  )
  private static let putOff = Statement(
    """
    SELECT \(Step.select("o")), o.taken FROM \(Fitting.rows(putOffRows)) AS o
    """)
  private static let putOffRows = """
    SELECT \(Step.select("s")), \(Step.bytes("s")) AS bytes
    FROM public.ops_mission_steps AS s WHERE s.not_before IS NOT NULL AND \(isPutOff)
    ORDER BY s.id LIMIT $2::bigint FOR NO KEY UPDATE SKIP LOCKED
    """

  /// Whether a step waits for a time that only a clock which was ahead would have come to by now.
  var anyFutureRetries: (Statement, Parameters) {
    var skipped = Parameters()
    skipped.uuids(quarantined.skipped)
    return (Self.hasPutOff, skipped)
  }

  /// Lets such steps run at once.
  ///
  /// - Returns: How many.
  func hastenRetries() throws(OpsError) -> Int {
    var hastened = 0
    try inBatches(limit: Self.hastenMax) { (batch) throws(OpsError) in
      var some = Parameters()
      some.uuids(batch.skipped)
      some.int8(Int64(batch.limit))
      var reads = Reads()
      let steps = reads.add(Self.putOff, some)
      var command = Command(reads) { (found, draft) throws(OpsError) in
        let rows = try found[steps]
        try batch.noteFitting(rows, taken: Step.columns.count)
        try batch.decide(&draft) { (draft) throws(OpsError) in
          for (row, id) in try rows.streamIDs().enumerated() where batch.enter(.step, id) {
            let step = try rows.row(row, of: Step.self)
            try draft.load(step, as: id)
            for event in try Step.decide(.hasten, given: step) {
              draft.append(event, of: Step.self, to: id)
            }
          }
        }
      }
      command.lockWait = batch.lockWait
      if try self.perform(command).entry != nil { hastened += batch.members.count }
    }
    return hastened
  }
}
