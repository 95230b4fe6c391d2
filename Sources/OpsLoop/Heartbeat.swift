import JSON
public import Ledger
import Log
import Postgres

/// What one heartbeat did.
public struct HeartbeatReport: Equatable, Sendable {
  /// Agent events looked at, and reactions queued by them.
  public var events = 0
  public var queued = 0
  /// Reactions worked off, and proposals made of them.
  public var processed = 0
  public var created = 0
  public var recovered = Recovered()
  /// Votes whose deadline had passed.
  public var votesExpired = 0
  /// Why nothing was taken, where the loop is halted.
  public var halt: String?
  /// Another heartbeat runs; this one did nothing.
  public var isBusy = false
  public var warnings: [String] = []
  /// Whether a batch was full, so that there is more to do at once.
  public var filledBatch = false

  public init() {}

  static func + (a: HeartbeatReport, b: HeartbeatReport) -> HeartbeatReport {
    var sum = b
    sum.warnings = a.warnings + b.warnings.filter { !a.warnings.contains($0) }
    sum.events += a.events
    sum.queued += a.queued
    sum.processed += a.processed
    sum.created += a.created
    sum.recovered.requeued += a.recovered.requeued
    sum.recovered.failed += a.recovered.failed
    sum.recovered.stale += a.recovered.stale
    sum.votesExpired += a.votesExpired
    return sum
  }
}

extension Engine {
  /// Runs one heartbeat: agent events become reactions, reactions proposals, expired leases are taken
  /// back. One at a time: where another runs, nothing is done.
  ///
  /// - Parameters:
  ///   - drain: Go on until nothing is left.
  ///   - progress: Told of each batch.
  public func heartbeat(
    drain: Bool, progress: (HeartbeatReport) -> Void = { _ in }
  ) throws(OpsError) -> HeartbeatReport {
    guard try lockHeartbeat() else {
      var report = HeartbeatReport()
      report.isBusy = true
      return report
    }
    defer { unlockHeartbeat() }
    do throws(OpsError) {
      _ = try session.query(all: Self.upkeep.map { ($0, Parameters()) })
      var report = try beat()
      progress(report)
      while drain, report.filledBatch {
        let next = try beat()
        progress(next)
        report = report + next
      }
      try emitOutcome("heartbeat:success", report, error: nil)
      return report
    } catch {
      try? emitOutcome("heartbeat:failure", HeartbeatReport(), error: error)
      throw error
    }
  }

  /// One batch of everything.
  func beat() throws(OpsError) -> HeartbeatReport {
    var report = HeartbeatReport()
    let due = try lookAround()
    let policies = cache.policies
    report.halt = policies.halt
    report.warnings = policies.errors.keys.sorted().compactMap { policies.errors[$0]?.description }
    if report.halt == nil { try take(into: &report, due) }
    var filledAttention = false
    if due.hasAmendments {
      let honoured = try honourAmendments()
      report.warnings += honoured.warnings
      filledAttention = honoured.isFull
      if honoured.missions + honoured.requeued > 0 { wake() }
    }
    if due.hasExpiredLeases { report.recovered = try recoverLeases() }
    if report.created + report.recovered.requeued > 0 { wake() }
    if due.hasOverdueVotes { report.votesExpired = try expireVotes() }
    report.filledBatch =
      report.events == settings.eventBatch || report.processed == settings.reactionBatch
      || filledAttention || report.recovered.total == Self.recoveryMax
      || report.votesExpired == Self.expiryMax
    return report
  }

  /// A batch of agent events, and one of reactions: first those that wait already, then what the events led
  /// to.
  private func take(into report: inout HeartbeatReport, _ due: Due) throws(OpsError) {
    var proposed = Proposed()
    if due.hasReactions { proposed = try takeReactions(settings.reactionBatch) }
    let room = settings.reactionBatch - proposed.processed
    let taken = try withPolicies { () throws(OpsError) in try takeEvents(proposing: room) }
    proposed.add(taken.proposed)
    if taken.queued > taken.proposed.processed, proposed.processed < settings.reactionBatch {
      proposed.add(try takeReactions(settings.reactionBatch - proposed.processed))
    }
    (report.events, report.queued) = (taken.events, taken.queued)
    (report.processed, report.created) = (proposed.processed, proposed.created)
    report.warnings += taken.tooDeep.values.sorted()
  }

  private static let upkeep = [
    Statement("SELECT ledger.add_partitions()"), Presence.forget,
    Statement("SELECT ledger.seal()"),
  ]

  /// The policies as they now are, and whether anything has run out: in one round trip, since mostly
  /// nothing has.
  private func lookAround() throws(OpsError) -> Due {
    let answers = try session.query(
      all: [
        cache.request, anyExpired, anyOverdue, anyAttention, (Self.anyReactions, Parameters()),
      ])
    _ = try cache.take(answers[0])
    try settlePolicies()
    return try onRow { () throws(PostgresError) in
      Due(
        hasExpiredLeases: try answers[1].bool(0, 0), hasOverdueVotes: try answers[2].bool(0, 0),
        hasAmendments: try answers[3].bool(0, 0), hasReactions: try answers[4].bool(0, 0))
    }
  }

  private struct Due {
    var hasExpiredLeases: Bool
    var hasOverdueVotes: Bool
    var hasAmendments: Bool
    var hasReactions: Bool
  }

  private static let lock = Statement("SELECT pg_try_advisory_lock(19796, 3)")
  private static let unlock = Statement("SELECT pg_advisory_unlock(19796, 3)")

  private func lockHeartbeat() throws(OpsError) -> Bool {
    let rows = try session.query(Self.lock)
    return try onRow { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  private func unlockHeartbeat() { _ = try? session.query(Self.unlock) }

  private func emitOutcome(
    _ type: String, _ report: HeartbeatReport, error: OpsError?
  ) throws(OpsError) {
    var data: [String: JSON] = [
      "events": .int(report.events), "queued": .int(report.queued),
      "processed": .int(report.processed), "created": .int(report.created),
      "requeued_steps": .int(report.recovered.requeued),
      "failed_steps": .int(report.recovered.failed),
      "stale_steps": .int(report.recovered.stale),
    ]
    if let error { data["error"] = .string(error.description) }
    let watched = cache.policies.matrix.value?.watches(ownType: type) ?? false
    let command = newCommandID()
    var draft = Draft(at: .drawn, ids: .random())
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
      \(Conditions.holding(of: "a.data", paths: "$2::text[]")), \(causationDepth)
    FROM ops_agent_events AS a WHERE a.processed_at IS NULL AND a.version BETWEEN 1 AND 2000000000
    ORDER BY a.created_at, a.id LIMIT $1::bigint FOR NO KEY UPDATE SKIP LOCKED
    """)
  /// How long a chain of reactions led to an event: as its mission's proposal has it, or the proposal
  /// that it is about. What was reported from outside has none.
  static let causationDepth = """
    CASE WHEN a.mission_id IS NOT NULL THEN coalesce((SELECT m.policy_snapshot->>'causation_depth'
        FROM ops_missions AS m WHERE m.id = a.mission_id), '1')
      WHEN a.type LIKE 'proposal:%' AND a.data->>'proposal_id'
        ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      THEN coalesce((SELECT p.policy_snapshot->>'causation_depth' FROM ops_mission_proposals AS p
        WHERE p.id = (a.data->>'proposal_id')::uuid), '1') END
    """
  /// The entry that last changed a row. The partitions made ahead of need are not looked into.
  static func entryOf(_ row: String) -> String {
    """
    (SELECT e.entry FROM ledger.events AS e WHERE e.stream = \(row).id AND e.version = \(row).version
      AND e.entry <= (SELECT last_value FROM ledger.entry_sequence))
    """
  }
  private static let drawIfUnprocessed = Statement(
    """
    SELECT entry, recorded_at FROM ledger.draw()
    WHERE EXISTS (SELECT FROM ops_agent_events WHERE processed_at IS NULL)
    """)
  static let lastReactions = Statement(
    """
    SELECT v.id, (SELECT max(r.created_at) FROM ops_agent_reactions AS r
      WHERE r.payload->>'pattern_id' = v.id) FROM unnest($1::text[]) AS v(id)
    """)

  /// Matches one batch of agent events. Of their reactions as many as there is room for become proposals
  /// in the same entry, where nothing can hold their keys; the others are left queued.
  private func takeEvents(proposing room: Int) throws(OpsError) -> TakenEvents {
    var taken = TakenEvents()
    let prepared = cache.policies.matrix
    let gate = Gate(cache.policies.caps)
    let cooling = (prepared.value?.patterns ?? []).filter { $0.cooldownMinutes > 0 }
    var (batch, patterns) = (Parameters(), Parameters())
    let conditions = prepared.value?.conditions ?? []
    batch.int8(Int64(settings.eventBatch))
    batch.texts(conditions)
    patterns.texts(cooling.map(\.id))
    func command(proposing room: Int) -> Command {
      Command(
        load: gate.load
          + [(Self.unprocessed, batch), (Self.lastReactions, patterns), cache.request],
        draw: (Self.drawIfUnprocessed, Parameters())
      ) { (answers, draft) throws(OpsError) in
        let read = Array(answers.dropFirst(gate.load.count))
        if try self.cache.take(read[2]),
          !prepared.agrees(with: self.cache.policies.matrix)
            || !gate.serves(self.cache.policies.caps)
        {
          throw .policiesChanged
        }
        taken = TakenEvents()
        // Without a matrix nothing is taken: what it meant cannot be known, and events would be lost.
        guard self.cache.policies.halt == nil, let matrix = prepared.value else { return .null }
        var last = try read[1].instants()
        var proposing = Proposing(self.cache.policies, try gate.counts(answers))
        for row in 0..<read[0].count {
          let event = try read[0].row(row, of: AgentEvent.self)
          let cause = try read[0].cause(row, AgentEvent.columns.count)
          let facts = try read[0].facts(row, AgentEvent.columns.count + 1, conditions)
          try draft.load(event, as: event.id)
          let triggered = draft.trigger(
            event, by: matrix, facts, lastReaction: &last, cause: cause)
          taken.add(event, triggered.outcomes)
          for (pattern, request) in triggered.requests
          where event.isFresh(for: pattern) && proposing.sum.processed < room {
            proposing.propose(request, existing: nil, cause: cause, &draft)
          }
        }
        taken.proposed = proposing.sum
        return taken.recorded
      }
    }
    let committed = try perform(
      command(proposing: room), afterLostRace: command(proposing: 0))
    if committed.entry == nil { taken = TakenEvents() }
    if committed.isRepeat { taken = TakenEvents(recorded: committed.result) }
    return taken
  }
}

/// What one batch of agent events came to.
private struct TakenEvents {
  var events = 0
  var queued = 0
  var proposed = Proposed()
  /// Patterns that reacted no more, since the chain was too long: a warning each.
  var tooDeep: [String: String] = [:]

  init() {}

  /// As the command's key keeps it.
  var recorded: JSON {
    .array([events, queued, proposed.processed, proposed.created].map(JSON.int))
  }

  init(recorded: JSON) {
    let counts = (recorded.arrayValue ?? []).map { $0.intValue ?? 0 }
    guard counts.count == 4 else { return }
    (events, queued) = (counts[0], counts[1])
    proposed = Proposed(processed: counts[2], created: counts[3])
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
  /// Whether nothing can be in the way of a proposal that it leads to: its key is made of the event's own id, and
  /// this is the first time that the event is looked at.
  fileprivate func isFresh(for pattern: Pattern) -> Bool {
    version == 1 && pattern.dedupeKey == nil
  }
}

// MARK: - Reactions

/// Reactions worked off, and proposals made of them.
struct Proposed {
  var processed = 0
  var created = 0

  mutating func add(_ other: Proposed) {
    processed += other.processed
    created += other.created
  }
}

/// What the reactions of one entry become; a dedupe key makes one proposal among them, too.
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
    let outcome = draft.propose(
      request, existing: made[request.dedupeKey] ?? recorded, policies: policies,
      executors: Executors.names, today: &today, cause: cause)
    if let outcome {
      // The gate's refusal gives the key up again.
      if outcome.status != .rejected { made[request.dedupeKey] = outcome }
      sum.created += 1
    }
    sum.processed += 1
  }
}

extension Engine {
  /// Queued reactions, each with the proposal that has its dedupe key already, and that one's mission. Not
  /// joins, since a plan made while there were no proposals would read all of them for each reaction.
  private static let queuedReactions = Statement(
    """
    SELECT \(Reaction.select("r")), p.id, p.status, m.id, p.reason,
      \(entryOf("r"))
    FROM ops_agent_reactions AS r
      LEFT JOIN LATERAL (SELECT p.id, p.status, p.reason FROM ops_mission_proposals AS p
        WHERE p.dedupe_key = coalesce(r.payload->>'dedupe_key', r.id::text)
        UNION ALL SELECT t.stream, 'approved', 'archived by the retention rule'
        FROM ledger.tombstones AS t WHERE t.noun = 'proposal'
          AND t.dedupe_key = coalesce(r.payload->>'dedupe_key', r.id::text) LIMIT 1) AS p ON true
      LEFT JOIN LATERAL (SELECT m.id FROM ops_missions AS m WHERE m.proposal_id = p.id
        ORDER BY m.created_at, m.id LIMIT 1) AS m ON true
    WHERE r.status = 'queued' AND r.version BETWEEN 1 AND 2000000000 ORDER BY r.created_at, r.id LIMIT $1::bigint
    FOR NO KEY UPDATE OF r SKIP LOCKED
    """)
  private static let anyReactions = Statement(
    "SELECT EXISTS (SELECT FROM ops_agent_reactions WHERE status = 'queued')")
  private static let drawIfReactions = Statement(
    """
    SELECT entry, recorded_at FROM ledger.draw()
    WHERE EXISTS (SELECT FROM ops_agent_reactions WHERE status = 'queued')
    """)

  /// Turns one batch of reactions into proposals.
  private func takeReactions(_ limit: Int) throws(OpsError) -> Proposed {
    try withPolicies { () throws(OpsError) in try takeReactionsOnce(limit) }
  }

  private func takeReactionsOnce(_ limit: Int) throws(OpsError) -> Proposed {
    var taken = Proposed()
    let gate = Gate(cache.policies.caps)
    var batch = Parameters()
    batch.int8(Int64(limit))
    let command = Command(
      load: gate.load + [(Self.queuedReactions, batch), cache.request],
      draw: (Self.drawIfReactions, Parameters())
    ) { (answers, draft) throws(OpsError) in
      let (rows, changes) = (answers[gate.load.count], answers[gate.load.count + 1])
      if try self.cache.take(changes), !gate.serves(self.cache.policies.caps) {
        throw .policiesChanged
      }
      taken = Proposed()
      guard self.cache.policies.halt == nil else { return .null }
      var proposing = Proposing(self.cache.policies, try gate.counts(answers))
      for row in 0..<rows.count {
        let reaction = try rows.row(row, of: Reaction.self)
        try draft.load(reaction, as: reaction.id)
        proposing.propose(
          reaction.request, existing: try rows.existing(row),
          cause: try rows.cause(row, Reaction.columns.count + 4), &draft)
      }
      taken = proposing.sum
      return .array([.int(taken.processed), .int(taken.created)])
    }
    let committed = try perform(command)
    if committed.entry == nil { taken = Proposed() }
    if committed.isRepeat, let counts = committed.result.arrayValue, counts.count == 2 {
      taken = Proposed(processed: counts[0].intValue ?? 0, created: counts[1].intValue ?? 0)
    }
    return taken
  }
}

extension Rows {
  /// `id, time` pairs.
  func instants() throws(OpsError) -> [String: Instant] {
    var instants: [String: Instant] = [:]
    do throws(PostgresError) {
      for row in 0..<count {
        guard let micros = try timestamptzIfPresent(row, 1) else { continue }
        instants[try text(row, 0)] = Instant(micros: micros)
      }
    } catch {
      throw OpsError(database: error)
    }
    return instants
  }

  fileprivate func existing(_ row: Int) throws(OpsError) -> SubmissionOutcome? {
    let isThere: Bool
    do { isThere = try !isNull(row, Reaction.columns.count) } catch {
      throw OpsError(database: error)
    }
    return isThere ? try outcome(row, first: Reaction.columns.count) : nil
  }
}
