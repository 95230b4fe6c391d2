public import Ledger
import Log
import Postgres

/// Which dead steps to queue again.
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

/// How many steps were queued again.
public struct Requeued: Equatable, Sendable {
  /// Dead steps.
  public var dead = 0
  /// Dead steps, and the steps that were skipped because of them.
  public var steps = 0

  fileprivate static func += (sum: inout Requeued, some: Requeued) {
    sum.dead += some.dead
    sum.steps += some.steps
  }
}

extension Engine {
  /// How many rows a request with an idempotency key can queue: it is one entry.
  private static let retriesUnderKeyMax = 1000

  func requireOneEntry(_ limit: Int) throws(OpsError) {
    guard limit > Self.retriesUnderKeyMax else { return }
    throw OpsError(
      .badInput,
      "a request with --key queues at most \(Self.retriesUnderKeyMax) again, and the limit is \(limit)",
      hint: "use --limit \(Self.retriesUnderKeyMax), and another key for each further call")
  }

  /// Queues a dead step again, and the steps that were skipped because of it.
  ///
  /// - Throws: `OPS_011`; `OPS_012` if the step is not dead.
  public func retry(_ id: StreamID, why: String?) throws(OpsError) -> Requeued {
    let requeued = try retry([id], why, isOne: true, .patient)
    wake()
    return requeued
  }

  /// Queues dead steps again: an entry for each batch, or a single entry for a request with an idempotency key.
  ///
  /// - Throws: `OPS_019` for more than ``retriesUnderKeyMax`` in a single entry.
  public func retryDead(_ filter: DeadStepFilter, why: String?) throws(OpsError) -> Requeued {
    var total = Requeued()
    defer { if total.steps > 0 { wake() } }
    if request != nil {
      try requireOneEntry(filter.limit)
      total = try retry(deadSteps(filter, limit: filter.limit), why, isOne: false, .patient)
      return total
    }
    while total.dead < filter.limit {
      let ids = try deadSteps(filter, limit: min(Self.retryBatch, filter.limit - total.dead))
      if ids.isEmpty { break }
      let (requeued, isAnyPassed) = try retryEach(ids, why)
      // Others may have queued them meanwhile.
      if requeued.dead == 0, !isAnyPassed { break }
      total += requeued
    }
    return total
  }

  private func deadSteps(_ filter: DeadStepFilter, limit: Int) throws(OpsError) -> [StreamID] {
    let parameters = Parameters {
      $0.text(filter.kind)
      if let mission = filter.mission { $0.uuid(mission) } else { $0.null(.uuid) }
      $0.int8(Int64(limit))
      $0.uuids(quarantined.skipped)
    }
    return try session.readBack(Self.dead, parameters).ids()
  }

  /// Queues steps again in one entry. If that fails, it queues them one by one, and quarantines each that fails alone.
  private func retryEach(
    _ ids: [StreamID], _ why: String?
  ) throws(OpsError) -> (Requeued, isAnyPassed: Bool) {
    do throws(OpsError) {
      return (try retry(ids, why, isOne: false, .once), false)
    } catch { guard error.isOfARow else { throw error } }
    var (sum, isAnyPassed) = (Requeued(), false)
    for id in ids {
      do throws(OpsError) { sum += try retry([id], why, isOne: false, .brief) } catch {
        guard error.isOfARow else { throw error }
        quarantined.add(Quarantined(rowType: .step, row: id, error: error))
        isAnyPassed = true
      }
    }
    return (sum, isAnyPassed)
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
    let named = Parameters(ids)
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
  /// A clock that was ahead put the step off, by the rule of ``Ledger/Instant/isAfter(spanFrom:to:)``.
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

  /// Whether a clock that was ahead put a step off.
  var anyFutureRetries: (Statement, Parameters) { (Self.hasPutOff, notQuarantined) }

  /// Makes such steps due at once.
  ///
  /// - Returns: How many.
  func hastenRetries() throws(OpsError) -> Int {
    var hastened = 0
    try inBatches(limit: Self.hastenMax) { (batch) throws(OpsError) in
      var reads = Reads()
      let steps = reads.add(
        Self.putOff,
        Parameters {
          $0.uuids(batch.skipped)
          $0.int8(Int64(batch.limit))
        })
      let command = Command(batch, reads) { (found, draft) throws(OpsError) in
        let rows = try found[steps]
        try batch.noteFitting(rows, taken: Step.columns.count)
        for (row, id) in try rows.ids().enumerated() where batch.enter(.step, id) {
          let step = try rows.row(row, of: Step.self)
          try draft.load(step, as: id)
          for event in try Step.decide(.hasten, given: step) {
            draft.append(event, of: Step.self, to: id)
          }
        }
      }
      if try self.perform(command).entry != nil { hastened += batch.members.count }
    }
    return hastened
  }
}
