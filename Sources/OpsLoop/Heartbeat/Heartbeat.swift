import JSON
public import Ledger
public import Log
import Postgres

/// What one heartbeat did.
public struct HeartbeatReport: Equatable, Sendable {
  /// Agent events looked at, and reactions queued by them.
  public var events = 0
  public var queued = 0
  /// Reactions worked off, and new proposals that they made: of those with one key, and of those that met a key which
  /// was taken, none is new.
  public var processed = 0
  public var created = 0
  /// Proposals that the caps refused.
  public var refused = 0
  public var recovered = Recovered()
  /// Votes whose deadline had passed.
  public var votesExpired = 0
  /// Why nothing was taken, where the loop is halted.
  public var halt: String?
  /// Who runs another heartbeat; this one did nothing.
  public var busyWith: TaskLease.Holder?
  public var isBusy: Bool { busyWith != nil }
  public var warnings: [String] = []
  /// Rows that were left alone, each named once.
  public var quarantined: [Quarantined] = []
  /// Why a part of it failed as a whole; the others were done.
  public var failure: OpsError?
  /// Whether a batch was full, so that there is more to do at once.
  public var filledBatch = false

  public init() {}

  static func + (a: HeartbeatReport, b: HeartbeatReport) -> HeartbeatReport {
    var sum = b
    sum.warnings = a.warnings + b.warnings.filter { !a.warnings.contains($0) }
    sum.quarantined = a.quarantined + b.quarantined
    sum.failure = a.failure ?? b.failure
    sum.events += a.events
    sum.queued += a.queued
    sum.processed += a.processed
    sum.created += a.created
    sum.refused += a.refused
    sum.recovered.requeued += a.recovered.requeued
    sum.recovered.failed += a.recovered.failed
    sum.recovered.stale += a.recovered.stale
    sum.votesExpired += a.votesExpired
    return sum
  }
}

extension HeartbeatReport {
  /// Does one part of a heartbeat. Where it fails as a whole the others are done, unless the database is out
  /// of reach.
  mutating func part(
    _ name: String, _ body: (inout HeartbeatReport) throws(OpsError) -> Void
  ) throws(OpsError) {
    do throws(OpsError) { try body(&self) } catch {
      guard error.code != .databaseUnreachable else { throw error }
      failure =
        failure
        ?? error.saying("\(name): \(error.message)", hint: error.hint)
    }
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
        isAnyRecorded = try onRow { () throws(PostgresError) in
          try answers[Self.upkeep.count - 1].bool(0, 0)
        }
      }
      repeat {
        let next = try beat()
        progress(next)
        report = report + next
      } while drain && report.filledBatch && report.failure == nil
      if isAnyRecorded || !quarantined.isEmpty {
        try report.part("notes of rows passed over") { (_) throws(OpsError) in
          try noteQuarantined(as: Self.heartbeatName)
        }
      }
      do throws(OpsError) {
        let type = report.failure == nil ? "heartbeat:success" : "heartbeat:failure"
        try emitOutcome(type, report, error: report.failure)
      } catch {
        guard error.code != .databaseUnreachable else { throw error }
        report.warnings.append("the heartbeat could not report itself: \(error)")
      }
      return report
    } catch {
      try? emitOutcome("heartbeat:failure", HeartbeatReport(), error: error)
      throw error
    }
  }

  static let heartbeatName = "heartbeat"

  /// One batch of everything.
  func beat() throws(OpsError) -> HeartbeatReport {
    var report = HeartbeatReport()
    hasLeftSome = false
    let due = try lookAround()
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

  /// A batch of agent events, and one of reactions: first those that wait already, then what the events led
  /// to.
  private func take(into report: inout HeartbeatReport, _ due: Due) throws(OpsError) {
    var proposed = Proposed()
    var taken = TakenEvents()
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

  /// Each may run twice.
  private static let upkeep = [
    Statement("SELECT ledger.add_partitions()"), Presence.forget, Quarantined.forget,
    Statement("SELECT ledger.seal()"),
    Statement(
      "SELECT EXISTS (SELECT FROM ledger.quarantine AS p WHERE p.name = '\(heartbeatName)')"),
  ]

  /// The policies as they now are, and whether anything has run out: in one round trip, since mostly
  /// nothing has.
  private func lookAround() throws(OpsError) -> Due {
    let answers = try session.readBack(
      all: [
        cache.request, anyExpired, anyOverdue, anyFollowUps, anyReactions, anyFutureRetries,
      ])
    _ = try cache.take(answers[0])
    try settlePolicies()
    return try onRow { () throws(PostgresError) in
      Due(
        hasExpiredLeases: try answers[1].bool(0, 0), hasOverdueVotes: try answers[2].bool(0, 0),
        hasAmendments: try answers[3].bool(0, 0), hasReactions: try answers[4].bool(0, 0),
        hasFutureRetries: try answers[5].bool(0, 0))
    }
  }

  private struct Due {
    var hasExpiredLeases: Bool
    var hasOverdueVotes: Bool
    var hasAmendments: Bool
    var hasReactions: Bool
    var hasFutureRetries: Bool
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
  /// How long a chain of reactions led to an event: as its mission's proposal has it, or the proposal
  /// that it is about. What was reported from outside has none.
  static let causationDepth = """
    CASE WHEN a.mission_id IS NOT NULL THEN coalesce((SELECT m.policy_snapshot->>'causation_depth'
        FROM public.ops_missions AS m WHERE m.id = a.mission_id), '1')
      WHEN a.type LIKE 'proposal:%' AND a.data->>'proposal_id'
        ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      THEN coalesce((SELECT p.policy_snapshot->>'causation_depth' FROM public.ops_mission_proposals AS p
        WHERE p.id = (a.data->>'proposal_id')::uuid), '1') END
    """
  /// The entry that last changed a row. The partitions made ahead of need are not looked into.
  static func entryOf(_ row: String) -> String {
    """
    (SELECT e.entry FROM ledger.events AS e WHERE e.stream = \(row).id AND e.version = \(row).version
      AND e.entry <= (SELECT last_value FROM ledger.entry_sequence))
    """
  }
  private static let allocateIfUnprocessed = Statement(
    """
    SELECT entry, recorded_at FROM ledger.allocate_entry()
    WHERE EXISTS (SELECT FROM public.ops_agent_events WHERE processed_at IS NULL AND id <> ALL ($1::uuid[]))
    """)
  static let lastReactions = Statement(
    """
    SELECT v.id, (SELECT max(r.created_at) FROM public.ops_agent_reactions AS r
      WHERE r.payload->>'pattern_id' = v.id AND r.created_at <= (SELECT ledger.now())) FROM unnest($1::text[]) AS v(id)
    """)

  /// Matches one batch of agent events. Of their reactions as many as there is room for become proposals
  /// in the same entry, where nothing can hold their keys; the others are left queued.
  private func takeEvents(proposing room: Int, _ taken: inout TakenEvents) throws(OpsError) {
    var sum = TakenEvents()
    defer { taken = sum }
    func take(proposing room: Int) throws(OpsError) {
      try inBatches(limit: settings.eventBatch) { (batch) throws(OpsError) in
        // Alone only what the event itself leads to: its reaction may be what is refused.
        sum.add(
          try self.takeEvents(
            batch, proposing: batch.isAlone ? 0 : max(room - sum.proposed.processed, 0)))
      }
    }
    do throws(OpsError) { try take(proposing: room) } catch {
      // The policy's row that proposals are counted under may be locked.
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

  /// - Parameter counting: Who only looks at events counts no proposals, and waits for nobody who does.
  private func taking(
    _ batch: Batch, _ policies: Policies, proposing room: Int, counting: Bool
  ) -> Command<TakenEvents> {
    let matrix = policies.matrix.value
    let conditions = matrix?.conditions ?? []
    let seconds =
      batch.isAlone ? settings.conditionSeconds.alone : settings.conditionSeconds.batch
    var (some, patterns, skipped) = (Parameters(), Parameters(), Parameters())
    batch.append(to: &some)
    some.texts(conditions)
    patterns.texts((matrix?.patterns ?? []).filter { $0.cooldownMinutes > 0 }.map(\.id))
    skipped.uuids(batch.skipped)
    var reads = Reads()
    let gate = counting ? Gate(policies.caps, in: &reads) : nil
    _ = reads.add(Conditions.limit(seconds: seconds))
    let events = reads.add(Self.unprocessed, some)
    _ = reads.add(Conditions.unlimited)
    let lastReactions = reads.add(Self.lastReactions, patterns) { (rows) throws(OpsError) in
      try rows.instants()
    }
    var command = Command(
      reads, allocation: .onlyIf(Self.allocateIfUnprocessed, skipped, otherwise: TakenEvents())
    ) { (found, draft) throws(OpsError) in
      // Without a matrix nothing is taken: what it meant cannot be known, and events would be lost.
      guard policies.halt == nil, let matrix else { return TakenEvents() }
      let (rows, last) = (try found[events], try found[lastReactions])
      let counts = try gate?.counts(found) ?? ProposalCounts(bySource: [:])
      return try batch.decide(&draft) { (draft) throws(OpsError) in
        var taken = TakenEvents()
        try batch.noteFitting(rows, taken: AgentEvent.columns.count + 3)
        var last = last
        var proposing = Proposing(policies, counts)
        for (row, id) in try rows.streamIDs().enumerated() {
          switch try rows.conditionTime(row, AgentEvent.columns.count + 1, conditions) {
          case .enough: break
          case .up(let condition):
            batch.pass(.agentEvent, id, .tooSlow(condition, seconds: seconds))
            continue
          case .wasUp: continue
          }
          guard batch.enter(.agentEvent, id) else { continue }
          let event = try rows.row(row, of: AgentEvent.self)
          let cause = try rows.cause(row, AgentEvent.columns.count)
          let facts = try rows.facts(row, AgentEvent.columns.count + 1, conditions)
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
        return taken
      }
    }
    command.lockWait = batch.lockWait
    return command
  }
}

/// What one batch of agent events came to.
private struct TakenEvents {
  var events = 0
  var queued = 0
  var proposed = Proposed()
  /// Patterns that reacted no more, since the chain was too long: a warning each.
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
  /// Whether nothing can be in the way of a proposal that it leads to: its key is made of the event's own id, and
  /// this is the first time that the event is looked at.
  fileprivate func isFresh(for pattern: Pattern) -> Bool {
    version == 1 && pattern.dedupeKey == nil
  }
}

// MARK: - Reactions

/// Reactions worked off, and what was new of the proposals that they led to.
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
    let existing = made[request.dedupeKey] ?? recorded
    let outcome = draft.propose(
      request, existing: existing, policies: policies, executors: Executors.names, today: &today,
      cause: cause)
    sum.processed += 1
    guard let outcome, existing == nil else { return }
    // The gate's refusal gives the key up again.
    if outcome.status == .rejected {
      sum.refused += 1
    } else {
      made[request.dedupeKey] = outcome
      sum.created += 1
    }
  }
}

extension Engine {
  /// Queued reactions, each with the proposal that has its dedupe key already, and that one's mission. Not
  /// joins, since a plan made while there were no proposals would read all of them for each reaction.
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
  private static let allocateIfReactions = Statement(
    "SELECT entry, recorded_at FROM ledger.allocate_entry() WHERE \(isAnyQueued)")
  private var anyReactions: (Statement, Parameters) {
    var skipped = Parameters()
    skipped.uuids(quarantined.skipped)
    return (Self.hasReactions, skipped)
  }

  /// Turns one batch of reactions into proposals.
  private func takeReactions(_ limit: Int, _ proposed: inout Proposed) throws(OpsError) {
    var sum = proposed
    defer { proposed = sum }
    try inBatches(limit: limit) { (batch) throws(OpsError) in
      sum.add(try self.takeReactions(batch))
    }
  }

  private func takeReactions(_ batch: Batch) throws(OpsError) -> Proposed {
    var (some, skipped) = (Parameters(), Parameters())
    batch.append(to: &some)
    skipped.uuids(batch.skipped)
    return try perform(by: { (policies) in
      var reads = Reads()
      let gate = Gate(policies.caps, in: &reads)
      let reactions = reads.add(Self.queuedReactions, some)
      var command = Command(
        reads, allocation: .onlyIf(Self.allocateIfReactions, skipped, otherwise: Proposed())
      ) { (found, draft) throws(OpsError) in
        if policies.halt != nil { return Proposed() }
        let rows = try found[reactions]
        try batch.noteFitting(rows, taken: Reaction.columns.count + 5)
        let counts = try gate.counts(found)
        return try batch.decide(&draft) { (draft) throws(OpsError) in
          var proposing = Proposing(policies, counts)
          for (row, id) in try rows.streamIDs().enumerated() where batch.enter(.reaction, id) {
            let reaction = try rows.row(row, of: Reaction.self)
            try draft.load(reaction, as: reaction.id)
            proposing.propose(
              reaction.request, existing: try rows.existing(row),
              cause: try rows.cause(row, Reaction.columns.count + 4), &draft)
          }
          return proposing.sum
        }
      }
      command.lockWait = batch.lockWait
      return command
    }).answer
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
