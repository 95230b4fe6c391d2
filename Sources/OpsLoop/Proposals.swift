public import JSON
public import Ledger
import Log
import Postgres

extension Engine {
  /// Submits a proposal.
  ///
  /// - Returns: What became of it; where its dedupe key was taken, the proposal that has it as it now
  ///   is, and nothing was recorded.
  /// - Throws: `OPS_004`, `OPS_005`; then nothing is recorded.
  public func submit(
    _ template: JSON, source: Proposal.Source, dedupeKey: String?
  ) throws(OpsError) -> SubmissionOutcome {
    // Checked before anything is locked, so that a bad template costs the database nothing.
    _ = try Template(template, executors: Executors.names)
    return try withPolicies { () throws(OpsError) in
      try submitOnce(template, source: source, dedupeKey: dedupeKey)
    }
  }

  private func submitOnce(
    _ template: JSON, source: Proposal.Source, dedupeKey: String?
  ) throws(OpsError) -> SubmissionOutcome {
    var outcome: SubmissionOutcome?
    var parameters = Parameters()
    parameters.text(dedupeKey)
    let caps = cache.policies.caps
    let gate = Gate(caps)
    let command = Command(
      load: gate.load + [
        (Self.proposalHolder, parameters), (Self.archivedHolder, parameters), cache.request,
      ]
    ) { (answers, draft) throws(OpsError) in
      let (held, archived) = (answers[gate.load.count], answers[gate.load.count + 1])
      let (holder, policies) = (held.count > 0 ? held : archived, answers[gate.load.count + 2])
      if try self.cache.take(policies), !gate.serves(self.cache.policies.caps) {
        throw .policiesChanged
      }
      if holder.count > 0 {
        outcome = try holder.outcome(0)
        return .null
      }
      var today = try gate.counts(answers)
      let decided = try draft.submit(
        template, source: source, dedupeKey: dedupeKey, policies: self.cache.policies,
        executors: Executors.names, today: &today)
      outcome = decided
      return .string(decided.proposalID.description)
    }
    let committed = try perform(command)
    if committed.isRepeat, let id = committed.result.stringValue.flatMap({ StreamID($0) }) {
      return try submission(of: id)
    }
    guard let outcome else { throw OpsError(.conflict, "nothing was decided") }
    if outcome.missionID != nil, committed.entry != nil { wake() }
    return outcome
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
  /// The key of a proposal that left with its mission is taken as well.
  private static let archivedHolder = Statement(
    """
    SELECT \(archivedOutcome) FROM ledger.tombstones AS t
    WHERE t.noun = 'proposal' AND t.dedupe_key = $1::text
    """)
  /// Only what was approved has a mission.
  static let archivedOutcome = """
    t.stream, 'approved'::public.ops_proposal_status, NULL::uuid, 'archived by the retention rule'
    """
  private static let proposalOutcome = Statement(
    "SELECT \(outcomeColumns) FROM public.ops_mission_proposals AS p WHERE p.id = $1::uuid")

  private func submission(of id: StreamID) throws(OpsError) -> SubmissionOutcome {
    var parameters = Parameters()
    parameters.uuid(id)
    let rows = try session.readBack(Self.proposalOutcome, parameters)
    guard rows.count > 0 else { throw OpsError.notFound("proposal", id) }
    return try rows.outcome(0)
  }

  /// Approves a proposal, and makes its mission. Approving it again names the same mission.
  ///
  /// - Throws: `OPS_011`, and `OPS_012` where it was rejected.
  public func approve(_ id: StreamID, why: String?) throws(OpsError) -> StreamID {
    var mission: StreamID?
    let command = Command(load: Self.lockProposal(id)) { (answers, draft) throws(OpsError) in
      let proposal = try Self.proposal(id, answers, &draft)
      let existing = try answers[1].firstID()
      let made = try draft.approve(
        proposal, reason: why, existing: existing, executors: Executors.names)
      mission = made
      return .string(made.description)
    }
    let committed = try perform(command)
    // What the last attempt decided counts only where it is what was recorded.
    let recorded = committed.result.stringValue.flatMap { StreamID($0) }
    let named = committed.isRepeat ? recorded : mission
    guard let named else { throw OpsError(.conflict, "nothing was decided") }
    if committed.entry != nil { wake() }
    return named
  }

  /// Rejects a proposal that waits. Rejecting it again is no error.
  ///
  /// - Throws: `OPS_011`, and `OPS_012` where it was approved.
  public func reject(_ id: StreamID, why: String?) throws(OpsError) {
    let command = Command(load: Self.lockProposal(id)) { (answers, draft) throws(OpsError) in
      let proposal = try Self.proposal(id, answers, &draft)
      for event in try Proposal.decide(.reject(reason: why), given: proposal) {
        draft.append(event, of: Proposal.self, to: id)
      }
      return .null
    }
    _ = try perform(command)
  }

  static func lockProposal(_ id: StreamID) -> [(Statement, Parameters)] {
    var parameters = Parameters()
    parameters.uuid(id)
    return [(lockOne, parameters), (missionOf, parameters)]
  }

  private static let lockOne = Statement(
    """
    SELECT \(Proposal.select("p")) FROM public.ops_mission_proposals AS p WHERE p.id = $1::uuid
    FOR NO KEY UPDATE
    """)
  private static let missionOf = Statement(
    """
    SELECT id FROM public.ops_missions WHERE proposal_id = $1::uuid ORDER BY created_at, id LIMIT 1
    """)

  static func proposal(
    _ id: StreamID, _ answers: [Rows], _ draft: inout Draft
  ) throws(OpsError) -> Proposal {
    guard answers[0].count == 1 else { throw OpsError.notFound("proposal", id) }
    let proposal = try answers[0].row(0, of: Proposal.self)
    try draft.load(proposal, as: id)
    return proposal
  }
}

/// The gate's reads: the lock that makes counting race-free, and the day's proposals, no more of them
/// than the caps ask for.
struct Gate {
  let limit: Int64
  private let caps: Policies.Reading<ProposalCaps>

  init(_ caps: Policies.Reading<ProposalCaps>) {
    self.caps = caps
    limit = Self.limit(caps)
  }

  private static func limit(_ caps: Policies.Reading<ProposalCaps>) -> Int64 {
    switch caps {
    case .absent, .broken: 0
    case .valid(let caps):
      if let daily = caps.dailyMax {
        Int64(daily)
      } else {
        caps.sourceMax.isEmpty ? 0 : 1_000_000
      }
    }
  }

  /// Whether the counts suffice for caps that were read after them.
  func serves(_ caps: Policies.Reading<ProposalCaps>) -> Bool { Self.limit(caps) <= limit }

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

  var load: [(Statement, Parameters)] {
    var parameters = Parameters()
    parameters.int8(limit)
    return [(Self.lock, Parameters()), (Self.count, parameters)]
  }

  /// - Parameter answers: Of a command whose first reads are ``load``.
  func counts(_ answers: [Rows]) throws(OpsError) -> ProposalCounts {
    var bySource: [Proposal.Source: Int32] = [:]
    do throws(PostgresError) {
      for row in 0..<answers[1].count {
        guard let source = Proposal.Source(rawValue: try answers[1].text(row, 0)) else { continue }
        bySource[source] = try answers[1].int4(row, 1)
      }
    } catch {
      throw OpsError(database: error)
    }
    return ProposalCounts(bySource: bySource)
  }
}

extension Rows {
  /// `id, status, mission, reason` from a column on.
  func outcome(_ row: Int, first: Int = 0) throws(OpsError) -> SubmissionOutcome {
    do throws(PostgresError) {
      return SubmissionOutcome(
        proposalID: StreamID(try uuid(row, first)),
        status: Proposal.Status(rawValue: try text(row, first + 1)) ?? .pending,
        missionID: try uuidIfPresent(row, first + 2).map { StreamID($0) },
        reason: try textIfPresent(row, first + 3))
    } catch {
      throw OpsError(database: error)
    }
  }
}
