import JSON
import Ledger
import OpsLoop

/// The history that the loop makes: it reports fifty agent events one by one, then matches, proposes, claims and completes
/// all of them in one entry each. Every mission has one step, which succeeds: 16 events, 8 rows.
struct Scenario {
  typealias Entry = (draft: Draft, actor: String)

  static let missionsABatch = 50
  static let eventsAMission = 16

  private let policies: Policies
  private let matrix: ReactionMatrix
  private var ids: IDSource
  private var at: Instant
  private var missions = 0

  init(_ policies: Policies, _ matrix: ReactionMatrix, from start: Instant) {
    self.policies = policies
    self.matrix = matrix
    at = start
    ids = IDSource(seed: (1, 2))
  }

  private mutating func draft(after milliseconds: Int64) -> Draft {
    at = at.adding(milliseconds: milliseconds)
    return Draft(at: at, ids: ids)
  }

  private mutating func keep(_ draft: Draft, _ actor: String) -> Entry {
    ids = draft.ids
    return (draft, actor)
  }

  mutating func nextBatch() throws(OpsError) -> [Entry] {
    var entries = (0..<Self.missionsABatch).map { _ in report() }
    let events = entries.flatMap { $0.draft.agentEvents.rows.map(\.row) }

    var trigger = draft(after: 5_000)
    var last: [String: Instant] = [:]
    for event in events { try trigger.load(event, as: event.id) }
    for event in events {
      _ = trigger.trigger(event, by: matrix, lastReaction: &last, cause: nil)
    }
    entries.append(keep(trigger, "heartbeat"))

    var propose = draft(after: 40)
    var today = ProposalCounts()
    let reactions = trigger.reactions.rows.map(\.row)
    for reaction in reactions { try propose.load(reaction, as: reaction.id) }
    for reaction in reactions {
      _ = propose.propose(
        reaction.request, existing: nil, policies: policies, executors: Executors.names,
        today: &today, cause: nil)
    }
    entries.append(keep(propose, "heartbeat"))

    let (claim, claimed) = try claim(propose)
    entries.append(keep(claim, "worker/host-1"))
    entries.append(keep(try complete(claim, claimed), "worker/host-1"))
    return entries
  }

  private mutating func report() -> Entry {
    var draft = draft(after: 200)
    missions += 1
    let words = Self.subjects[missions % Self.subjects.count]
    draft.append(
      .reported(
        AgentEvent.Report(
          type: missions % 3 == 0 ? "minion:request_content" : "user:request",
          data: JSON.object([
            "topic": .string("\(words), request \(missions)"), "source": .string("chat"),
            "requested_by": .string("user-\(missions % 977)"),
          ]).text, dedupeKey: "chat:message:\(missions)"),
        processed: false),
      of: AgentEvent.self, to: draft.newID())
    return keep(draft, "key/chat")
  }

  private mutating func claim(_ proposed: Draft) throws(OpsError) -> (Draft, [ClaimedStep]) {
    var claim = draft(after: 300)
    for mission in proposed.missions.rows { try claim.load(mission.row, as: mission.stream) }
    for step in proposed.steps.rows { try claim.load(step.row, as: step.stream) }
    let claimed = try proposed.steps.rows.map { (step) throws(OpsError) in
      try claim.claim(step.row, worker: "worker/host-1", leaseSeconds: 300, cause: nil)
    }
    return (claim, claimed)
  }

  private mutating func complete(
    _ claim: Draft, _ claimed: [ClaimedStep]
  ) throws(OpsError) -> Draft {
    var complete = draft(after: 900)
    for mission in claim.missions.rows { try complete.load(mission.row, as: mission.stream) }
    for step in claim.steps.rows { try complete.load(step.row, as: step.stream) }
    for run in claim.runs.rows { try complete.load(run.row, as: run.stream) }
    let rules = WorkRules(attemptsMax: 3, matrix: matrix)
    for step in claimed {
      var counts = StepCounts(unfinished: 1, failed: 0)
      let result = JSON.object(["note": .string(step.step.kind), "took_ms": .int(missions % 400)])
      try complete.complete(
        StepOutcome(step, .succeeded(result.text)), rules: rules, counts: &counts, cause: nil)
    }
    return complete
  }

  private static let subjects = [
    "A summary of this week's releases", "Three offers for hosting, compared",
    "A reply to the review from Tuesday", "The changelog of the next version",
    "Questions that users asked more than once", "A plan for moving the mail archive",
    "What the invoices of last quarter have in common",
  ]
}
