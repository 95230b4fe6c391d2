public import Ledger
import Log
import Postgres

extension Engine {
  /// Casts a role's vote on a proposal, and approves or rejects the proposal if this vote decides it.
  ///
  /// - Throws: `OPS_011`; `OPS_012` if no vote is held on it, or the vote has ended; `OPS_019` for an invalid role name.
  public func vote(
    _ vote: Proposal.Vote, on id: StreamID, as role: String, why: String?
  ) throws(OpsError) -> VoteOutcome {
    guard (1...Proposal.roleBytesMax).contains(role.utf8.count),
      !role.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
    else {
      throw OpsError(
        .badInput,
        "the name of a role must have 1 to \(Proposal.roleBytesMax) bytes and no control characters"
      )
    }
    let outcome = try answer(by: { (policies) in
      var reads = Reads()
      let locked = LockedProposal(id, in: &reads)
      return Command(reads) { (found, draft) throws(OpsError) in
        let proposal = try locked.load(found, into: &draft)
        let ballot = Proposal.Ballot(
          id: draft.newID(), role: role, vote: vote, reason: why, metadata: nil)
        return try draft.vote(
          ballot, on: proposal, policies: policies, executors: Executors.names)
      }
    }).answer
    guard outcome.consensus != nil else {
      throw OpsError(
        .conflict, "the vote on proposal \(id) has ended: its deadline has passed",
        hint: "it is pending now; use `opsledger proposal approve` or `opsledger proposal reject`",
        facts: ["proposal_id": id.description, "status": outcome.status.rawValue])
    }
    if outcome.missionID != nil { wake() }
    return outcome
  }

  static let expiryMax = 200

  /// Ends votes whose deadline has passed.
  ///
  /// - Returns: How many have ended.
  func expireVotes() throws(OpsError) -> Int {
    var expired = 0
    try inBatches(limit: Self.expiryMax) { (batch) throws(OpsError) in
      expired += try self.expireVotes(batch)
    }
    return expired
  }

  private func expireVotes(_ batch: Batch) throws(OpsError) -> Int {
    let overdue = overdueVotes(but: batch.skipped)
    var some = overdue
    some.int8(Int64(batch.limit))
    return try perform(by: { (policies) in
      var reads = Reads()
      let proposals = reads.add(Self.overdue, some)
      return Command(
        batch, reads, allocation: .onlyIf(Self.allocateIfOverdue, overdue, otherwise: 0)
      ) { (found, draft) throws(OpsError) in
        let rows = try found[proposals]
        try batch.noteFitting(rows, taken: Proposal.columns.count)
        var expired = 0
        for (row, id) in try rows.ids().enumerated() where batch.enter(.proposal, id) {
          let proposal = try rows.row(row, of: Proposal.self)
          try draft.load(proposal, as: id)
          if draft.expireVote(over: proposal, policies: policies) { expired += 1 }
        }
        return expired
      }
    }).answer
  }

  /// Deadlines are compared as texts, which sort like the times, since a manual change may have written something else.
  /// If the proposal's creation lies in the future, ``Ledger/Draft/expireVote(over:policies:)`` decides.
  private static let isOverdue = """
    p.status = 'voting' AND p.id <> ALL ($2::uuid[]) AND (p.created_at = '-infinity'
      OR p.created_at > (SELECT ledger.now()) + interval '1 minute' AND p.created_at < 'infinity'
      OR coalesce(p.policy_snapshot->'vote'->>'deadline', \(text(
        "p.created_at + make_interval(secs => $1::double precision)"))) COLLATE "C"
        < \(text("(SELECT ledger.now())")))
    """
  private static func text(_ time: String) -> String {
    #"to_char((\#(time)) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#
  }
  private static let overdue = Statement(
    """
    SELECT \(Proposal.select("o")), o.taken FROM \(Fitting.rows(overdueRows)) AS o
    """)
  private static let overdueRows = """
    SELECT \(Proposal.select("p")), \(Proposal.bytes("p")) AS bytes
    FROM public.ops_mission_proposals AS p WHERE \(isOverdue)
    ORDER BY p.id LIMIT $3::bigint FOR NO KEY UPDATE SKIP LOCKED
    """
  private static let isAnyOverdue =
    "EXISTS (SELECT FROM public.ops_mission_proposals AS p WHERE \(isOverdue))"
  private static let allocateIfOverdue = Statement.allocating(if: isAnyOverdue)
  private static let hasOverdue = Statement("SELECT \(isAnyOverdue)")
  /// Whether any vote's deadline has passed.
  var anyOverdue: (Statement, Parameters) {
    (Self.hasOverdue, overdueVotes(but: quarantined.skipped))
  }

  private func overdueVotes(but skipped: [StreamID]) -> Parameters {
    let minutes =
      cache.policies.voting.value?.deadlineMinutes ?? VotingPolicy.deadlineMinutesDefault
    return Parameters {
      $0.float8(minutes * 60)
      $0.uuids(skipped)
    }
  }
}
