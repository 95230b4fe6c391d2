import JSON
public import Ledger
public import Log
import Postgres

/// What one heartbeat did.
public struct HeartbeatReport: Equatable, Sendable {
  /// Agent events that were processed, and the reactions that they queued.
  public var events = 0
  public var queued = 0
  /// Reactions that were processed, and the new proposals that they made. A reaction whose dedupe key was taken makes
  /// none.
  public var processed = 0
  public var created = 0
  /// Proposals that the caps refused.
  public var refused = 0
  public var recovered = Recovered()
  /// Votes whose deadline had passed.
  public var votesExpired = 0
  /// Why the loop is halted.
  public var halt: String?
  /// Who runs another heartbeat; this one did nothing.
  public var busyWith: TaskLease.Holder?
  public var isBusy: Bool { busyWith != nil }
  public var warnings: [String] = []
  /// Newly quarantined rows.
  public var quarantined: [Quarantined] = []
  /// Why a part of it failed as a whole. The other parts ran.
  public var failure: OpsError?
  /// Whether a batch was full, so that there is more to do at once.
  public var filledBatch = false

  fileprivate mutating func add(_ next: HeartbeatReport) {
    warnings += next.warnings.filter { !warnings.contains($0) }
    quarantined += next.quarantined
    failure = failure ?? next.failure
    (halt, filledBatch) = (next.halt, next.filledBatch)
    events += next.events
    queued += next.queued
    processed += next.processed
    created += next.created
    refused += next.refused
    recovered += next.recovered
    votesExpired += next.votesExpired
  }

  /// Runs one part of a heartbeat. The other parts run although it fails, unless the database is unreachable.
  fileprivate mutating func part(
    _ name: String, _ body: (inout HeartbeatReport) throws(OpsError) -> Void
  ) throws(OpsError) {
    do throws(OpsError) { try body(&self) } catch {
      guard error.code != .databaseUnreachable else { throw error }
      failure = failure ?? error.saying("\(name): \(error.message)", hint: error.hint)
    }
  }
}

extension Engine {
  /// Runs one heartbeat: agent events become reactions, reactions become proposals, and expired leases end. While
  /// another heartbeat runs, this one does nothing.
  ///
  /// - Parameters:
  ///   - drain: Whether to continue until nothing is left.
  ///   - progress: Gets the report of each batch.
  public func heartbeat(
    drain: Bool, progress: (HeartbeatReport) -> Void = { _ in }
  ) throws(OpsError) -> HeartbeatReport {
    switch try TaskLease.attempt(.heartbeat, session) {
    case .success(let taken): taskLease = taken
    case .failure(let holder):
      var report = HeartbeatReport()
      report.busyWith = holder
      return report
    }
    defer {
      taskLease?.end(session)
      taskLease = nil
    }
    do throws(OpsError) {
      var report = HeartbeatReport()
      var isAnyRecorded = true
      try report.part("upkeep") { (_) throws(OpsError) in
        let answers = try session.readBack(all: Self.upkeep.map { ($0, Parameters()) })
        isAnyRecorded = try onDatabase { () throws(PostgresError) in
          try answers[Self.upkeep.count - 1].bool(0, 0)
        }
      }
      repeat {
        let next = try beat()
        progress(next)
        report.add(next)
      } while drain && report.filledBatch && report.failure == nil
      if isAnyRecorded || !quarantined.isEmpty {
        try report.part("list of quarantined rows") { (_) throws(OpsError) in
          try noteQuarantined(as: Self.heartbeatName)
        }
      }
      do throws(OpsError) {
        let type = report.failure == nil ? "heartbeat:success" : "heartbeat:failure"
        try emitOutcome(type, report, error: report.failure)
      } catch {
        guard error.code != .databaseUnreachable else { throw error }
        report.warnings.append("the agent event of this heartbeat was not recorded: \(error)")
      }
      return report
    } catch {
      try? emitOutcome("heartbeat:failure", HeartbeatReport(), error: error)
      throw error
    }
  }

  static let heartbeatName = "heartbeat"

  /// One batch of everything.
  private func beat() throws(OpsError) -> HeartbeatReport {
    var report = HeartbeatReport()
    hasLeftSome = false
    let due = try due()
    let policies = cache.policies
    report.halt = policies.halt
    report.warnings = policies.errors.keys.sorted().compactMap { policies.errors[$0]?.description }
    if report.halt == nil { try take(into: &report, due) }
    var filledFollowUps = false
    if due.hasAmendments {
      try report.part("manual changes") { (report) throws(OpsError) in
        let followUps = try followUp()
        report.warnings += followUps.warnings
        filledFollowUps = followUps.isFull
        if followUps.missions + followUps.requeued > 0 { wake() }
      }
    }
    if due.hasExpiredLeases {
      try report.part("leases") { (report) throws(OpsError) in
        report.recovered = try recoverLeases()
      }
    }
    if due.hasFutureRetries {
      try report.part("retries") { (_) throws(OpsError) in
        if try hastenRetries() > 0 { wake() }
      }
    }
    if report.created + report.recovered.requeued > 0 { wake() }
    if due.hasOverdueVotes {
      try report.part("votes") { (report) throws(OpsError) in
        report.votesExpired = try expireVotes()
      }
    }
    report.quarantined = takeQuarantined()
    report.filledBatch =
      hasLeftSome || !report.quarantined.isEmpty || report.events == settings.eventBatch
      || report.processed == settings.reactionBatch
      || filledFollowUps || report.recovered.total == Self.recoveryMax
      || report.votesExpired == Self.expiryMax
    return report
  }

  /// Processes a batch of agent events and one of reactions: first those that were queued before, then those that the
  /// events led to.
  private func take(into report: inout HeartbeatReport, _ due: Due) throws(OpsError) {
    var (proposed, taken) = (Proposed(), TakenEvents())
    if due.hasReactions {
      try report.part("reactions") { (_) throws(OpsError) in
        try takeReactions(settings.reactionBatch, &proposed)
      }
    }
    try report.part("agent events") { (_) throws(OpsError) in
      try takeEvents(proposing: settings.reactionBatch - proposed.processed, &taken)
    }
    proposed.add(taken.proposed)
    let room = settings.reactionBatch - proposed.processed
    if taken.queued > taken.proposed.processed, room > 0 {
      try report.part("reactions") { (_) throws(OpsError) in try takeReactions(room, &proposed) }
    }
    (report.events, report.queued) = (taken.events, taken.queued)
    (report.processed, report.created) = (proposed.processed, proposed.created)
    report.refused = proposed.refused
    report.warnings += taken.tooDeep.values.sorted()
  }

  /// Statements that may run twice.
  private static let upkeep = [
    Statement("SELECT ledger.add_partitions()"), Presence.forget, Quarantined.forget,
    Statement("SELECT ledger.seal()"),
    Statement(
      "SELECT EXISTS (SELECT FROM ledger.quarantine AS p WHERE p.name = '\(heartbeatName)')"),
  ]

  private typealias Due = (
    hasExpiredLeases: Bool, hasOverdueVotes: Bool, hasAmendments: Bool, hasReactions: Bool,
    hasFutureRetries: Bool
  )

  /// Reads the policies, and which parts of a heartbeat have something to do: mostly none, so one round trip asks for
  /// all.
  private func due() throws(OpsError) -> Due {
    let answers = try session.readBack(
      all: [
        cache.request, anyExpired, anyOverdue, anyFollowUps, anyReactions, anyFutureRetries,
      ])
    _ = try cache.take(answers[0])
    try settlePolicies()
    return try onDatabase { () throws(PostgresError) in
      (
        try answers[1].bool(0, 0), try answers[2].bool(0, 0), try answers[3].bool(0, 0),
        try answers[4].bool(0, 0), try answers[5].bool(0, 0)
      )
    }
  }

  private func emitOutcome(
    _ type: String, _ report: HeartbeatReport, error: OpsError?
  ) throws(OpsError) {
    var data: [String: JSON] = [
      "events": .int(report.events), "queued": .int(report.queued),
      "processed": .int(report.processed), "created": .int(report.created),
      "refused": .int(report.refused),
      "requeued_steps": .int(report.recovered.requeued),
      "failed_steps": .int(report.recovered.failed),
      "stale_steps": .int(report.recovered.stale),
    ]
    if let error { data["error"] = .string(error.description) }
    let watched = cache.policies.matrix.value?.watches(ownType: type) ?? false
    let command = newCommandID()
    var draft = Draft(at: .allocated, ids: .random())
    draft.append(
      .reported(
        AgentEvent.Report(type: type, data: JSON.object(data).text), processed: !watched),
      of: AgentEvent.self, to: command)
    _ = try session.appendFresh(CommandKey(id: command, actor: actor), draft)
  }
}

// MARK: - Agent events

extension Engine {
  private static let unprocessed = Statement(
    """
    SELECT \(AgentEvent.select("a")),
      \(entryOf("a")),
      \(Conditions.holding(of: "a.data", paths: "$3::text[]")), \(causationDepth), a.taken
    FROM \(Fitting.rows(unprocessedRows)) AS a
    """)
  private static let unprocessedRows = """
    SELECT \(AgentEvent.select("u")), \(AgentEvent.bytes("u")) AS bytes
    FROM public.ops_agent_events AS u WHERE u.processed_at IS NULL AND u.id <> ALL ($2::uuid[])
    ORDER BY u.created_at, u.id LIMIT $1::bigint FOR NO KEY UPDATE SKIP LOCKED
    """
  /// SQL for the length of the chain of reactions that led to an event, which its mission's proposal keeps, or the
  /// proposal that the event is about. Null for an event that an agent reported.
  static let causationDepth = """
    CASE WHEN a.mission_id IS NOT NULL THEN coalesce((SELECT m.policy_snapshot->>'causation_depth'
        FROM public.ops_missions AS m WHERE m.id = a.mission_id), '1')
      WHEN a.type LIKE 'proposal:%' AND a.data->>'proposal_id'
        ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      THEN coalesce((SELECT p.policy_snapshot->>'causation_depth' FROM public.ops_mission_proposals AS p
        WHERE p.id = (a.data->>'proposal_id')::uuid), '1') END
    """
  /// SQL for the entry that last changed a row. The limit keeps partitions that were made in advance out of the search.
  static func entryOf(_ row: String) -> String {
    """
    (SELECT e.entry FROM ledger.events AS e WHERE e.stream = \(row).id AND e.version = \(row).version
      AND e.entry <= (SELECT last_value FROM ledger.entry_sequence))
    """
  }
  private static let allocateIfUnprocessed = Statement.allocating(
    if: """
      EXISTS (SELECT FROM public.ops_agent_events WHERE processed_at IS NULL AND id <> ALL ($1::uuid[]))
      """)
  static let lastReactions = Statement(
    """
    SELECT v.id, (SELECT max(r.created_at) FROM public.ops_agent_reactions AS r
      WHERE r.payload->>'pattern_id' = v.id AND r.created_at <= (SELECT ledger.now())) FROM unnest($1::text[]) AS v(id)
    """)

  /// Matches one batch of agent events. As many of their reactions as there is room for become proposals in the same
  /// entry, where nothing can hold their keys. The others stay queued.
  private func takeEvents(proposing room: Int, _ taken: inout TakenEvents) throws(OpsError) {
    var sum = TakenEvents()
    defer { taken = sum }
    func take(proposing room: Int) throws(OpsError) {
      try inBatches(limit: settings.eventBatch) { (batch) throws(OpsError) in
        // An event that is alone proposes nothing: its reaction may be what the database refuses.
        sum.add(
          try self.takeEvents(
            batch, proposing: batch.isAlone ? 0 : max(room - sum.proposed.processed, 0)))
      }
    }
    do throws(OpsError) { try take(proposing: room) } catch {
      // Another transaction may have locked the policy under which proposals are counted.
      guard error.isLockTimeout else { throw error }
      try take(proposing: 0)
    }
  }

  private func takeEvents(
    _ batch: Batch, proposing room: Int
  ) throws(OpsError) -> TakenEvents {
    try perform(
      by: { (policies) in self.taking(batch, policies, proposing: room, counting: room > 0) },
      afterLostRace: { (policies) in
        self.taking(batch, policies, proposing: 0, counting: room > 0)
      }
    ).answer
  }

  /// - Parameter counting: Whether to count proposals, which waits for others that count.
  private func taking(
    _ batch: Batch, _ policies: Policies, proposing room: Int, counting: Bool
  ) -> Command<TakenEvents> {
    let matrix = policies.matrix.value
    let conditions = matrix?.conditions ?? []
    let seconds =
      batch.isAlone ? settings.conditionSeconds.alone : settings.conditionSeconds.batch
    let columns = AgentEvent.columns.count
    var reads = Reads()
    let gate = counting ? Gate(policies.caps, in: &reads) : nil
    _ = reads.add(Conditions.limit(seconds: seconds))
    let events = reads.add(
      Self.unprocessed,
      Parameters {
        batch.append(to: &$0)
        $0.texts(conditions)
      })
    _ = reads.add(Conditions.unlimited)
    let lastReactions = reads.add(Self.lastReactions, Self.cooling(matrix)) {
      (rows) throws(OpsError) in try rows.instants()
    }
    let skipped = Parameters(batch.skipped)
    return Command(
      batch, reads,
      allocation: .onlyIf(Self.allocateIfUnprocessed, skipped, otherwise: TakenEvents())
    ) { (found, draft) throws(OpsError) in
      // An event that is processed without a matrix would be lost.
      guard policies.halt == nil, let matrix else { return TakenEvents() }
      let rows = try found[events]
      var last = try found[lastReactions]
      var taken = TakenEvents()
      try batch.noteFitting(rows, taken: columns + 3)
      var proposing = Proposing(
        policies, try gate?.counts(found) ?? ProposalCounts(bySource: [:]))
      for (row, id) in try rows.ids().enumerated() {
        switch try rows.conditionTime(row, columns + 1, conditions) {
        case .enough: break
        case .exceeded(let condition):
          batch.pass(.agentEvent, id, .tooSlow(condition, seconds: seconds))
          continue
        case .exceededBefore: continue
        }
        guard batch.enter(.agentEvent, id) else { continue }
        let event = try rows.row(row, of: AgentEvent.self)
        let cause = try rows.cause(row, columns)
        let facts = try rows.facts(row, columns + 1, conditions)
        try draft.load(event, as: event.id)
        let triggered = draft.trigger(event, by: matrix, facts, lastReaction: &last, cause: cause)
        taken.add(event, triggered.outcomes)
        for (pattern, request) in triggered.requests
        where event.isFresh(for: pattern) && proposing.sum.processed < room {
          proposing.propose(request, existing: nil, cause: cause, &draft)
        }
      }
      taken.proposed = proposing.sum
      return taken
    }
  }

  /// The patterns with a cooldown, as the parameter of ``lastReactions``.
  static func cooling(_ matrix: ReactionMatrix?) -> Parameters {
    Parameters { $0.texts((matrix?.patterns ?? []).filter { $0.cooldownMinutes > 0 }.map(\.id)) }
  }
}

private struct TakenEvents {
  var events = 0
  var queued = 0
  var proposed = Proposed()
  /// A warning for each pattern that did not react because the chain of reactions was too long.
  var tooDeep: [String: String] = [:]

  mutating func add(_ other: TakenEvents) {
    events += other.events
    queued += other.queued
    proposed.add(other.proposed)
    tooDeep.merge(other.tooDeep) { first, _ in first }
  }

  mutating func add(_ event: AgentEvent, _ outcomes: [AgentEvent.PatternOutcome]) {
    events += 1
    queued += outcomes.count(where: \.isMatch)
    for outcome in outcomes {
      guard case .unmatched(.depth) = outcome.result else { continue }
      tooDeep[outcome.pattern] =
        "pattern \(outcome.pattern) does not react to \(event.type) \(event.id): "
        + (outcome.detail ?? "")
    }
  }
}

extension AgentEvent {
  /// Whether no other proposal can have the key of its proposal: the key is made of the event's own id, and the event
  /// is processed for the first time.
  fileprivate func isFresh(for pattern: Pattern) -> Bool {
    version == 1 && pattern.dedupeKey == nil
  }
}

// MARK: - Reactions

/// Counts of processed reactions and of their new proposals.
struct Proposed {
  var processed = 0
  var created = 0
  var refused = 0

  mutating func add(_ other: Proposed) {
    processed += other.processed
    created += other.created
    refused += other.refused
  }
}

/// Makes the proposals of one entry's reactions: one for each dedupe key.
private struct Proposing {
  private(set) var sum = Proposed()
  private let policies: Policies
  private var today: ProposalCounts
  private var made: [String: SubmissionOutcome] = [:]

  init(_ policies: Policies, _ today: ProposalCounts) {
    self.policies = policies
    self.today = today
  }

  mutating func propose(
    _ request: Reaction.Request, existing recorded: SubmissionOutcome?, cause: Int64?,
    _ draft: inout Draft
  ) {
    let existing = made[request.dedupeKey] ?? recorded
    let outcome = draft.propose(
      request, existing: existing, policies: policies, executors: Executors.names, today: &today,
      cause: cause)
    sum.processed += 1
    guard let outcome, existing == nil else { return }
    // A proposal that the caps refuse does not keep its key.
    if outcome.status == .rejected {
      sum.refused += 1
    } else {
      made[request.dedupeKey] = outcome
      sum.created += 1
    }
  }
}

extension Engine {
  /// Queued reactions, each with the proposal that has its dedupe key and that proposal's mission. A plan that was
  /// made while there were no proposals would read all of them for each reaction if these were joins.
  private static let queuedReactions = Statement(
    """
    SELECT \(Reaction.select("r")), p.id, p.status, m.id, p.reason,
      \(entryOf("r")), r.taken
    FROM \(Fitting.rows(queuedRows)) AS r
      LEFT JOIN LATERAL (SELECT p.id, p.status, p.reason FROM public.ops_mission_proposals AS p
        WHERE p.dedupe_key = coalesce(r.payload->>'dedupe_key', r.id::text)
        UNION ALL SELECT t.stream, 'approved', 'archived by the retention rule'
        FROM ledger.tombstones AS t WHERE t.row_type = 'proposal'
          AND t.dedupe_key = coalesce(r.payload->>'dedupe_key', r.id::text) LIMIT 1) AS p ON true
      LEFT JOIN LATERAL (SELECT m.id FROM public.ops_missions AS m WHERE m.proposal_id = p.id
        ORDER BY m.created_at, m.id LIMIT 1) AS m ON true
    """)
  private static let queuedRows = """
    SELECT \(Reaction.select("q")), \(Reaction.bytes("q")) AS bytes FROM public.ops_agent_reactions AS q
    WHERE q.status = 'queued' AND q.id <> ALL ($2::uuid[]) ORDER BY q.created_at, q.id LIMIT $1::bigint
    FOR NO KEY UPDATE SKIP LOCKED
    """
  private static let isAnyQueued = """
    EXISTS (SELECT FROM public.ops_agent_reactions WHERE status = 'queued' AND id <> ALL ($1::uuid[]))
    """
  private static let hasReactions = Statement("SELECT \(isAnyQueued)")
  private static let allocateIfReactions = Statement.allocating(if: isAnyQueued)
  private var anyReactions: (Statement, Parameters) { (Self.hasReactions, notQuarantined) }

  /// Turns one batch of reactions into proposals.
  private func takeReactions(_ limit: Int, _ proposed: inout Proposed) throws(OpsError) {
    var sum = proposed
    defer { proposed = sum }
    try inBatches(limit: limit) { (batch) throws(OpsError) in
      sum.add(try self.takeReactions(batch))
    }
  }

  private func takeReactions(_ batch: Batch) throws(OpsError) -> Proposed {
    let skipped = Parameters(batch.skipped)
    return try perform(by: { (policies) in
      var reads = Reads()
      let gate = Gate(policies.caps, in: &reads)
      let reactions = reads.add(Self.queuedReactions, Parameters { batch.append(to: &$0) })
      return Command(
        batch, reads, allocation: .onlyIf(Self.allocateIfReactions, skipped, otherwise: Proposed())
      ) { (found, draft) throws(OpsError) in
        if policies.halt != nil { return Proposed() }
        let rows = try found[reactions]
        try batch.noteFitting(rows, taken: Reaction.columns.count + 5)
        var proposing = Proposing(policies, try gate.counts(found))
        for (row, id) in try rows.ids().enumerated() where batch.enter(.reaction, id) {
          let reaction = try rows.row(row, of: Reaction.self)
          try draft.load(reaction, as: reaction.id)
          proposing.propose(
            reaction.request, existing: try rows.existing(row),
            cause: try rows.cause(row, Reaction.columns.count + 4), &draft)
        }
        return proposing.sum
      }
    }).answer
  }
}

extension Rows {
  /// Reads `id, time` pairs.
  func instants() throws(OpsError) -> [String: Instant] {
    try dictionary { (row) throws(PostgresError) in
      guard let micros = try timestamptzIfPresent(row, 1) else { return nil }
      return (try text(row, 0), Instant(micros: micros))
    }
  }

  fileprivate func existing(_ row: Int) throws(OpsError) -> SubmissionOutcome? {
    let first = Reaction.columns.count
    let isThere = try onDatabase { () throws(PostgresError) in try !isNull(row, first) }
    return isThere ? try outcome(row, first: first) : nil
  }
}
