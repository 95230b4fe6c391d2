public import Ledger
import Log
import Postgres

/// Which reactions to queue again.
public struct ReactionFilter: Sendable {
  /// Whether to queue reactions that failed.
  public var failed: Bool
  /// Whether to queue reactions whose proposals the caps refused.
  public var refused: Bool
  public var pattern: String?
  public var limit: Int

  public init(failed: Bool, refused: Bool, pattern: String? = nil, limit: Int) {
    self.failed = failed
    self.refused = refused
    self.pattern = pattern
    self.limit = limit
  }
}

extension Engine {
  /// Queues a reaction again. The next heartbeat processes it.
  ///
  /// - Throws: `OPS_011`; `OPS_012` if it is queued or has its proposal; `OPS_018` if it was erased.
  public func retryReaction(_ id: StreamID, why: String?) throws(OpsError) {
    _ = try retry([id], why, isOne: true)
  }

  /// Queues reactions again, the oldest first: an entry for each batch, or a single entry for a request with an
  /// idempotency key.
  ///
  /// - Returns: How many were queued.
  /// - Throws: `OPS_019` for more than ``retriesUnderKeyMax`` in a single entry.
  public func retryReactions(_ filter: ReactionFilter, why: String?) throws(OpsError) -> Int {
    if request != nil {
      try requireOneEntry(filter.limit)
      return try retry(reactions(filter, limit: filter.limit), why, isOne: false)
    }
    var total = 0
    while total < filter.limit {
      let ids = try reactions(filter, limit: min(Self.reactionBatch, filter.limit - total))
      if ids.isEmpty { break }
      let retried = try retry(ids, why, isOne: false)
      // Others may have queued them meanwhile.
      if retried == 0 { break }
      total += retried
    }
    return total
  }

  private func reactions(_ filter: ReactionFilter, limit: Int) throws(OpsError) -> [StreamID] {
    let parameters = Parameters {
      $0.bool(filter.failed)
      $0.bool(filter.refused)
      $0.text(filter.pattern)
      $0.int8(Int64(limit))
    }
    return try session.readBack(Self.toRetry, parameters).ids()
  }

  private static let reactionBatch = 200
  private static let toRetry = Statement(
    """
    SELECT r.id FROM public.ops_agent_reactions AS r
    WHERE ($1::boolean AND r.status = 'failed'
        OR $2::boolean AND r.status = 'done' AND r.payload->'result'->>'r_status' = 'rejected'
          AND EXISTS (SELECT FROM public.ops_mission_proposals AS p WHERE p.policy_snapshot ? 'gate_refused'
            AND p.id::text = r.payload->'result'->>'r_proposal_id'))
      AND ($3::text IS NULL OR r.payload->>'pattern_id' = $3::text)
      AND r.payload->'proposal_template' IS DISTINCT FROM '{"erased": true}'
      AND r.version BETWEEN 1 AND 2000000000
    ORDER BY r.created_at, r.id LIMIT $4::bigint
    """)
  private static let lockReactions = Statement.locking(Reaction.self)

  private func retry(_ ids: [StreamID], _ why: String?, isOne: Bool) throws(OpsError) -> Int {
    var reads = Reads()
    let locked = reads.rows(of: Reaction.self, Self.lockReactions, Parameters(ids))
    let command = Command(reads) { (found, draft) throws(OpsError) -> Int in
      var retried = 0
      let reactions = try found[locked]
      if isOne, reactions.isEmpty { throw OpsError.notFound("reaction", ids[0]) }
      for reaction in reactions where isOne || reaction.mayBeRetried && !reaction.isErased {
        try draft.load(reaction, as: reaction.id)
        try draft.retry(reaction, why: why)
        retried += 1
      }
      return retried
    }
    return try answer(command).answer
  }
}
