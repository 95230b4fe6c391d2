import Host
import JSON
import Ledger
import Log

/// How a proposal was decided, or what it waits for, by its history and the policies of then.
struct ProposalDecision {
  private let story: ProposalStory
  private var versions: JSON = .object([:])
  private var autoApprovalRefusal: (rule: String, words: String)?
  private var refusal: (cap: String, limit: Int, count: Int)?
  private var decision: (verb: String, actor: String, at: Instant, reason: String?)?
  /// The actor that cast each role's vote.
  private var voters: [String: String] = [:]
  private var known: [String: [JSON?]] = [:]
  /// Events that this release cannot read.
  private var unread: [String] = []
  private let rules: VoteRules?

  /// - Parameter policies: Today's, for a vote whose row has no rules.
  init(_ story: ProposalStory, _ policies: Policies) {
    self.story = story
    let hasVote = story.proposal.voteRules != nil || story.proposal.status == .voting
    rules = hasVote ? policies.rules(of: story.proposal) : nil
    for event in story.events { take(event) }
  }

  private mutating func take(_ event: LoggedEvent) {
    guard case .proposal(let kind) = EventType(event.type) else { return }
    do throws(Unreadable) {
      switch try event.decoded(kind) {
      case .own(let said): take(said, event)
      case .common(let said): take(said, event)
      }
    } catch {
      unread.append("\(event.type) in entry \(event.entry) cannot be read: \(error.reason)")
    }
  }

  private mutating func take(_ said: Proposal.Event, _ event: LoggedEvent) {
    let (actor, at) = (event.actor, event.recordedAt)
    switch said {
    case .submitted(let submission):
      versions = submission.policySnapshot.flatMap { try? JSON(parsing: $0) } ?? .object([:])
      autoApprovalRefusal = submission.autoApprovalRefusal.map {
        ($0.rule, event.commitment == nil ? $0.words : Erased.text)
      }
    case .gateRefused(let cap, let limit, let count, let reason):
      refusal = (cap.rawValue, Int(limit), Int(count))
      decision = ("rejected by policy proposal_caps", actor, at, reason)
    case .autoApproved: decision = ("approved by policy", actor, at, nil)
    case .voteCalled: break
    case .voteCast(let ballot): voters[ballot.role] = actor
    case .approved(let reason): decision = ("approved", actor, at, reason)
    case .rejected(let reason): decision = ("rejected", actor, at, reason)
    case .voteExpired: decision = ("the vote ended without a decision", actor, at, nil)
    }
  }

  private mutating func take(_ said: CommonEvent<Proposal>, _ event: LoggedEvent) {
    switch said {
    case .inserted, .restored, .amended:
      let votes = said.value(of: "votes")?.jsonValue
      if let votes { take(votes: (try? JSON(parsing: votes))?.objectValue ?? [:], by: event) }
      take(
        status: said.value(of: "status")?.textValue.flatMap(Proposal.Status.init), event,
        reason: said.value(of: "reason")?.textValue)
    case .removed, .archived, .erased: break
    }
  }

  /// A decision by a manual change. A status of pending takes a decision back.
  private mutating func take(status: Proposal.Status?, _ event: LoggedEvent, reason: String?) {
    switch status {
    case .approved, .autoApproved: decision = ("approved", event.actor, event.recordedAt, reason)
    case .rejected: decision = ("rejected", event.actor, event.recordedAt, reason)
    case .pending, .voting: decision = nil
    case nil: break
    }
  }

  /// Votes by a manual change: the new ones, and the changed ones.
  private mutating func take(votes: [String: JSON], by event: LoggedEvent) {
    // The fields of a vote that an erasure keeps.
    let cast = votes.mapValues { vote in ["id", "vote", "created_at"].map { vote[$0] } }
    for role in cast.keys where voters[role] == nil || cast[role] != known[role] {
      voters[role] = event.actor
    }
    known = cast
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
          "caps",
          "rejected: \(refusal.cap) is \(refusal.limit), \(refusal.count) proposals that day "
            + "(\(version("proposal_caps")))"
        ))
    } else {
      facts.append(("caps", "not reached (\(version("proposal_caps")))"))
      let isApproved = story.proposal.status == .autoApproved
      let no = autoApprovalRefusal.map {
        "no: \($0.words) (\($0.rule); \(version("auto_approve")))"
      }
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
      facts.append(("waits for", "a person: opsledger proposal approve, or reject"))
    }
    if let mission = story.mission {
      facts.append(("mission", "\(mission), \(story.missionStatus?.rawValue ?? "?")"))
    }
    facts += unread.map { ("note", $0) }
    return facts
  }

  private var vote: [(String, String)] {
    guard let rules else { return [] }
    let cast = story.proposal.castVotes
    let approvals = cast.count { $0.vote == .approve && rules.admits($0.role) }
    var facts = [
      (
        "vote",
        "\(approvals) of \(Shown.count(rules.threshold, "approval")) (\(version("voting_policy")))"
          + (rules.veto ? "; one rejection rejects it" : "")
      )
    ]
    for vote in cast {
      let reason = vote.reason.map { ": \($0)" } ?? ""
      let by = voters[vote.role].map { ", cast by \(Self.login($0))" } ?? ""
      let counts = rules.admits(vote.role) ? "" : ", which does not count: the role has no vote"
      facts.append(("", "\(vote.role) \(vote.vote.rawValue)\(reason)\(by)\(counts)"))
    }
    for (login, roles) in shared {
      facts.append(
        ("note", "one login, \(login), cast the votes of \(roles.joined(separator: ", "))"))
    }
    if story.proposal.status == .voting { facts.append(("missing", missing(rules))) }
    return facts
  }

  /// Logins that cast the votes of several roles.
  private var shared: [(login: String, roles: [String])] {
    var roles: [String: [String]] = [:]
    for vote in story.proposal.castVotes {
      if let actor = voters[vote.role] { roles[Self.login(actor), default: []].append(vote.role) }
    }
    return roles.filter { $0.value.count > 1 }.sortedByKey.map { ($0.key, $0.value) }
  }

  /// The login of an actor: `--as NAME` makes `NAME (login)`.
  private static func login(_ actor: String) -> String {
    guard actor.hasSuffix(")"), let open = actor.lastIndex(of: "(") else { return actor }
    return String(actor[actor.index(after: open)...].dropLast())
  }

  private func missing(_ rules: VoteRules) -> String {
    var parts: [String] = []
    if case .open(let approvals, let voters) = story.proposal.consensus(under: rules) {
      if approvals > 0 { parts.append(Shown.count(approvals, "approval")) }
      if !voters.isEmpty { parts.append("the vote of \(voters.joined(separator: ", "))") }
    }
    let until = Shown.time(rules.deadline)
    parts.append(
      rules.deadline > story.now
        ? "until \(until), \(Shown.ago(rules.deadline, now: story.now))"
        : "ended \(until); the next heartbeat closes it")
    return parts.joined(separator: "; ")
  }

  // MARK: For programs

  /// The row, and members with its decision.
  func json(_ out: inout JSONObjectWriter) {
    story.proposal.write(to: &out)
    out.optional("mission_id", story.mission?.description)
    out.optional("mission_status", story.missionStatus?.rawValue)
    out.json("policy_versions", versions)
    out.json(
      "auto_approval_refusal",
      autoApprovalRefusal.map { .object(["rule": .string($0.rule), "words": .string($0.words)]) }
        ?? .null)
    out.json(
      "gate_refusal",
      refusal.map {
        .object(["cap": .string($0.cap), "limit": .int($0.limit), "count": .int($0.count)])
      } ?? .null)
    out.optional("decided_by", decision?.actor)
    out.optional("decided_at", decision?.at.description)
    out.optional("decision", decision?.verb)
    out.optional("decision_reason", decision?.reason)
    out.json("vote", voteJSON)
  }

  private var voteJSON: JSON {
    guard let rules else { return .null }
    var (approvals, missing) = (0, [String]())
    if story.proposal.status == .voting,
      case .open(let some, let others) = story.proposal.consensus(under: rules)
    {
      (approvals, missing) = (some, others)
    }
    return .object([
      "threshold": .int(rules.threshold), "deadline": .string(rules.deadline.description),
      "veto": .bool(rules.veto), "required_voters": .array(rules.requiredVoters.map(JSON.string)),
      "approvals_missing": .int(approvals), "voters_missing": .array(missing.map(JSON.string)),
      "voters": .array((rules.voters ?? []).map(JSON.string)),
      "cast": .array(
        story.proposal.castVotes.map { vote in
          .object([
            "role": .string(vote.role), "vote": .string(vote.vote.rawValue),
            "cast_by": .optional(voters[vote.role].map(Self.login)), "at": .optional(vote.at),
            "counts": .bool(rules.admits(vote.role)),
          ])
        }),
      "shared_logins": .array(
        shared.map {
          .object(["login": .string($0.login), "roles": .array($0.roles.map(JSON.string))])
        }),
    ])
  }
}
