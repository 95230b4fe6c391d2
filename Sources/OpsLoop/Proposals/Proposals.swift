public import JSON
public import Ledger
import Log
import Postgres

extension Engine {
  /// Submits a proposal.
  ///
  /// - Returns: The outcome. If its dedupe key was taken, this is the outcome of the proposal that has the key, and
  ///   nothing is recorded.
  /// - Throws: `OPS_004`, `OPS_005`. Then nothing is recorded.
  public func submit(
    _ template: JSON, source: Proposal.Source, dedupeKey: String?
  ) throws(OpsError) -> SubmissionOutcome {
    // Before any lock, so that a bad template costs the database nothing.
    _ = try Template(template, executors: Executors.names)
    let parameters = Parameters { $0.text(dedupeKey) }
    let committed = try answer(by: { (policies) in
      var reads = Reads()
      let gate = Gate(policies.caps, in: &reads)
      let held = reads.outcome(Self.proposalHolder, parameters)
      let archived = reads.outcome(Self.archivedHolder, parameters)
      return Command(reads) { (found, draft) throws(OpsError) -> SubmissionOutcome in
        if let held = try found[held] { return held }
        if let archived = try found[archived] { return archived }
        var today = try gate.counts(found)
        return try draft.submit(
          template, source: source, dedupeKey: dedupeKey, policies: policies,
          executors: Executors.names, today: &today)
      }
    })
    if committed.answer.missionID != nil, committed.entry != nil { wake() }
    return committed.answer
  }

  private static let outcomeColumns = """
    p.id, p.status, (SELECT m.id FROM public.ops_missions AS m WHERE m.proposal_id = p.id
      ORDER BY m.created_at, m.id LIMIT 1), p.reason
    """
  private static let proposalHolder = Statement(
    """
    SELECT \(outcomeColumns) FROM public.ops_mission_proposals AS p
    WHERE p.dedupe_key = $1::text FOR NO KEY UPDATE OF p
    """)
  /// The key of an archived proposal stays taken. Only an approved proposal has a mission with which it is archived.
  private static let archivedHolder = Statement(
    """
    SELECT t.stream, 'approved'::public.ops_proposal_status, NULL::uuid, 'archived by the retention rule'
    FROM ledger.tombstones AS t WHERE t.row_type = 'proposal' AND t.dedupe_key = $1::text
    """)

  /// Approves a proposal, and makes its mission. If it was approved before, the answer is the same mission.
  ///
  /// - Throws: `OPS_011`, and `OPS_012` if it was rejected.
  public func approve(_ id: StreamID, why: String?) throws(OpsError) -> StreamID {
    var reads = Reads()
    let locked = LockedProposal(id, in: &reads)
    let command = Command(reads) { (found, draft) throws(OpsError) in
      try draft.approve(
        try locked.load(found, into: &draft), reason: why, existing: try found[locked.mission],
        executors: Executors.names)
    }
    let committed = try answer(command)
    if committed.entry != nil { wake() }
    return committed.answer
  }

  /// Rejects a proposal that waits. Rejecting it again is not an error.
  ///
  /// - Throws: `OPS_011`, and `OPS_012` if it was approved.
  public func reject(_ id: StreamID, why: String?) throws(OpsError) {
    var reads = Reads()
    let locked = LockedProposal(id, in: &reads)
    let command = Command(reads) { (found, draft) throws(OpsError) in
      let proposal = try locked.load(found, into: &draft)
      for event in try Proposal.decide(.reject(reason: why), given: proposal) {
        draft.append(event, of: Proposal.self, to: id)
      }
      return id
    }
    _ = try answer(command)
  }
}

/// A proposal under its lock, and its mission.
struct LockedProposal {
  private let id: StreamID
  private let proposals: Read<[Proposal]>
  let mission: Read<StreamID?>

  init(_ id: StreamID, in reads: inout Reads) {
    self.id = id
    proposals = reads.rows(of: Proposal.self, Self.lock, Parameters([id]))
    mission = reads.firstID(Self.missionOf, Parameters(id))
  }

  /// - Throws: `OPS_011` if there is no such proposal.
  func load(_ found: Found, into draft: inout Draft) throws(OpsError) -> Proposal {
    guard let proposal = try loadIfThere(found, into: &draft) else {
      throw OpsError.notFound("proposal", id)
    }
    return proposal
  }

  func loadIfThere(_ found: Found, into draft: inout Draft) throws(OpsError) -> Proposal? {
    guard let proposal = try found[proposals].first else { return nil }
    try draft.load(proposal, as: id)
    return proposal
  }

  private static let lock = Statement.locking(Proposal.self)
  private static let missionOf = Statement(
    """
    SELECT id FROM public.ops_missions WHERE proposal_id = $1::uuid ORDER BY created_at, id LIMIT 1
    """)
}

/// The reads for the caps: a lock that makes counting race-free, and the day's proposals, no more than the caps need.
struct Gate {
  private let today: Read<ProposalCounts>

  init(_ caps: Policies.Reading<ProposalCaps>, in reads: inout Reads) {
    _ = reads.add(Self.lock)
    today = reads.add(Self.count, Self.limit(caps)) { (rows) throws(OpsError) in
      try Self.counts(rows)
    }
  }

  /// Counts without a lock.
  static func counts(
    _ caps: Policies.Reading<ProposalCaps>, _ session: Session
  ) throws(OpsError) -> ProposalCounts {
    try counts(try session.query(count, limit(caps)))
  }

  func counts(_ found: Found) throws(OpsError) -> ProposalCounts { try found[today] }

  private static func limit(_ caps: Policies.Reading<ProposalCaps>) -> Parameters {
    let limit: Int64 =
      switch caps {
      case .absent, .broken: 0
      case .valid(let caps):
        caps.dailyMax.map(Int64.init) ?? (caps.sourceMax.isEmpty ? 0 : 1_000_000)
      }
    return Parameters { $0.int8(limit) }
  }

  private static let lock = Statement(
    "SELECT 1 FROM public.ops_policy WHERE key = 'proposal_caps' FOR NO KEY UPDATE")
  private static let count = Statement(
    """
    SELECT source, count(*)::integer FROM (
      SELECT source FROM public.ops_mission_proposals
      WHERE created_at >= \(Engine.day) AND created_at < \(Engine.day) + interval '1 day'
        AND NOT coalesce(policy_snapshot ? 'gate_refused', false)
      LIMIT $1::bigint) AS today GROUP BY source
    """)

  private static func counts(_ rows: Rows) throws(OpsError) -> ProposalCounts {
    ProposalCounts(
      bySource: try rows.dictionary { (row) throws(PostgresError) in
        guard let source = Proposal.Source(rawValue: try rows.text(row, 0)) else { return nil }
        return (source, try rows.int4(row, 1))
      })
  }
}

extension Reads {
  /// A read of a proposal's outcome; nil if there is no row.
  fileprivate mutating func outcome(
    _ statement: Statement, _ parameters: Parameters
  ) -> Read<SubmissionOutcome?> {
    add(statement, parameters) { (rows) throws(OpsError) in rows.isEmpty ? nil : try rows.outcome(0)
    }
  }
}

extension Rows {
  /// Reads `id, status, mission, reason`, from a column on.
  func outcome(_ row: Int, first: Int = 0) throws(OpsError) -> SubmissionOutcome {
    try onDatabase { () throws(PostgresError) in
      SubmissionOutcome(
        proposalID: StreamID(try uuid(row, first)),
        status: Proposal.Status(rawValue: try text(row, first + 1)) ?? .pending,
        missionID: try uuidIfPresent(row, first + 2).map { StreamID($0) },
        reason: try textIfPresent(row, first + 3))
    }
  }
}
