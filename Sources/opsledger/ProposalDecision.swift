import Host
import JSON
import Ledger
import Log

/// How a proposal was decided, or what it waits for: read from its history, under the policies of then.
struct ProposalDecision {
  private let story: ProposalStory
  private var versions: JSON = .object([:])
  private var objection: (rule: String, words: String)?
  private var refusal: (cap: String, limit: Int, count: Int)?
  private var decision: (verb: String, actor: String, at: Instant, reason: String?)?

  init(_ story: ProposalStory) {
    self.story = story
    for event in story.events { take(event) }
  }

  private mutating func take(_ event: LoggedEvent) {
    let data = (try? JSON(parsing: event.data)) ?? .null
    let content = event.content.flatMap { try? JSON(parsing: $0) } ?? .null
    let reason = content["reason"]?.stringValue
    switch event.type {
    case "proposal.submitted":
      versions = data["policy_snapshot"] ?? .object([:])
      objection = data["objection_rule"]?.stringValue.map {
        ($0, content["objection"]?.stringValue ?? "[erased]")
      }
    case "proposal.gate_refused":
      refusal = (
        data["cap"]?.stringValue ?? "?", data["limit"]?.intValue ?? 0, data["count"]?.intValue ?? 0
      )
      decision = ("refused by the gate", event.actor, event.recordedAt, reason)
    case "proposal.auto_approved":
      decision = ("approved by policy", event.actor, event.recordedAt, nil)
    case "proposal.approved": decision = ("approved", event.actor, event.recordedAt, reason)
    case "proposal.rejected": decision = ("rejected", event.actor, event.recordedAt, reason)
    case "proposal.vote_expired":
      decision = ("the vote ended without a decision", event.actor, event.recordedAt, nil)
    default: break
    }
  }

  private func version(_ policy: String) -> String {
    versions[policy]?.intValue.map { "\(policy) version \($0)" } ?? "no policy \(policy)"
  }

  // MARK: For people

  var facts: [(String, String)] {
    var facts: [(String, String)] = []
    if let refusal {
      facts.append(
        (
          "gate",
          "refused it: \(refusal.cap) \(refusal.limit), \(refusal.count) that day "
            + "(\(version("proposal_caps")))"
        ))
    } else {
      facts.append(("gate", "let it through (\(version("proposal_caps")))"))
      let isApproved = story.proposal.status == .autoApproved
      let no = objection.map { "no: \($0.words) (\($0.rule); \(version("auto_approve")))" }
      facts.append(
        ("auto-approval", no ?? (isApproved ? "yes (\(version("auto_approve")))" : "not recorded")))
    }
    facts += vote
    if let decision {
      let reason = decision.reason.map { ": \($0)" } ?? ""
      facts.append(
        ("decided", "\(decision.verb) by \(decision.actor) at \(Shown.time(decision.at))\(reason)"))
    }
    if story.proposal.status == .pending {
      facts.append(
        ("waits for", "a person: opsledger proposal approve, or reject"))
    }
    if let mission = story.mission {
      facts.append(("mission", "\(mission), \(story.missionStatus?.rawValue ?? "?")"))
    }
    return facts
  }

  private var vote: [(String, String)] {
    guard let rules = story.proposal.voteRules else { return [] }
    let cast = story.proposal.castVotes
    let approvals = cast.count { $0.vote == .approve }
    var facts = [
      (
        "vote",
        "\(approvals) of \(Shown.count(rules.threshold, "approval")) (\(version("voting_policy")))"
          + (rules.veto ? "; one vote against it rejects it" : "")
      )
    ]
    for vote in cast {
      let reason = vote.reason.map { ": \($0)" } ?? ""
      facts.append(("", "\(vote.role) \(vote.vote.rawValue)\(reason)"))
    }
    if story.proposal.status == .voting { facts.append(("missing", missing(rules))) }
    return facts
  }

  private func missing(_ rules: VoteRules) -> String {
    var parts: [String] = []
    if case .open(let approvals, let voters) = story.proposal.consensus(under: rules) {
      if approvals > 0 { parts.append(Shown.count(approvals, "approval")) }
      if !voters.isEmpty { parts.append("the vote of \(voters.joined(separator: ", "))") }
    }
    let left = rules.deadline.seconds(since: story.now)
    let until = Shown.time(rules.deadline)
    parts.append(
      left > 0
        ? "until \(until), \(Int(left / 60)) min from now"
        : "over since \(until); the next heartbeat ends it")
    return parts.joined(separator: "; ")
  }

  // MARK: For programs

  /// The row, and beside its columns what its history says.
  var json: String {
    var out = JSONObjectWriter()
    for column in Proposal.columns { column.get(story.proposal).write(to: &out, as: column.name) }
    out.json("mission_id", .optional(story.mission?.description))
    out.json("mission_status", .optional(story.missionStatus?.rawValue))
    out.json("policy_versions", versions)
    out.json(
      "objection",
      objection.map { .object(["rule": .string($0.rule), "words": .string($0.words)]) } ?? .null)
    out.json(
      "gate_refusal",
      refusal.map {
        .object(["cap": .string($0.cap), "limit": .int($0.limit), "count": .int($0.count)])
      } ?? .null)
    out.json("decided_by", .optional(decision?.actor))
    out.json("decided_at", .optional(decision?.at.description))
    out.json("vote", voteJSON)
    return out.finish()
  }

  private var voteJSON: JSON {
    guard let rules = story.proposal.voteRules else { return .null }
    var (approvals, voters) = (0, [String]())
    if story.proposal.status == .voting,
      case .open(let some, let others) = story.proposal.consensus(under: rules)
    {
      (approvals, voters) = (some, others)
    }
    return .object([
      "threshold": .int(rules.threshold), "deadline": .string(rules.deadline.description),
      "veto": .bool(rules.veto), "required_voters": .array(rules.requiredVoters.map(JSON.string)),
      "approvals_missing": .int(approvals), "voters_missing": .array(voters.map(JSON.string)),
    ])
  }
}
