public import JSON

/// A proposal of work: a row of `ops_mission_proposals`.
public struct Proposal: Sendable {
  public enum Status: String, CaseIterable, Sendable {
    case pending, approved, rejected, voting
    case autoApproved = "auto_approved"
  }
  public enum Source: String, CaseIterable, Sendable { case api, trigger, reaction, manual }
  public enum Vote: String, CaseIterable, Sendable { case approve, reject, abstain }
  /// A limit of policy `proposal_caps`.
  public enum Cap: String, CaseIterable, Sendable {
    case daily = "daily_limit"
    case source = "per_source"
    /// A broken or absent policy counts as reached.
    case policy
  }

  public var id: StreamID
  public var dedupeKey: String?
  public var source: Source = .manual
  public var status: Status = .pending
  public var template: String
  public var reason: String?
  public var policySnapshot: String?
  public var approvedAt: Instant?
  public var createdAt: Instant
  public var votes: String?
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    template = "{}"
    createdAt = Instant(micros: 0)
  }

  public struct Submission: Equatable, Sendable {
    public var source: Source
    public var dedupeKey: String?
    public var template: String
    /// The versions of the policies that decide it: `{"auto_approve": 1, …}`.
    public var policySnapshot: String?
    /// The reason why it was not auto-approved; nil if it was, or if a cap refused it.
    public var autoApprovalRefusal: AutoApprovalRefusal?
  }

  public struct Ballot: Equatable, Sendable {
    public var id: StreamID
    public var role: String
    public var vote: Vote
    public var reason: String?
    public var metadata: String?

    public init(id: StreamID, role: String, vote: Vote, reason: String?, metadata: String?) {
      self.id = id
      self.role = role
      self.vote = vote
      self.reason = reason
      self.metadata = metadata
    }
  }

  /// The rules of a vote besides its threshold and its deadline.
  public struct VoteTerms: Equatable, Sendable {
    public var requiredVoters: [String]
    public var veto: Bool
    /// The roles whose votes count; nil in events without this field.
    public var voters: [String]?
  }

  public enum Event: Equatable, Sendable {
    case submitted(Submission)
    /// The row loses its dedupe key, so the same work can be proposed again on the next day.
    case gateRefused(Cap, limit: Int32, count: Int32, reason: String?)
    case autoApproved
    /// The row keeps the rules if the event has all of them.
    case voteCalled(threshold: Int32, deadline: Instant, terms: VoteTerms?)
    case voteCast(Ballot)
    case voteExpired
    case approved(reason: String?)
    case rejected(reason: String?)
  }
}

extension Proposal: Row {
  public static let name = RowType.proposal
  public static let table = "ops_mission_proposals"
  public static var drafted: any DraftPath<Proposal> { \.proposals }
  public static let columns: [Column<Proposal>] = [
    .uuid("id", \.id),
    .text("dedupe_key", \.dedupeKey),
    .label("source", \.source),
    .label("status", \.status, type: "ops_proposal_status"),
    .json("template", \.template, .content),
    .text("reason", \.reason, .content),
    .json("policy_snapshot", \.policySnapshot, .data),
    .time("approved_at", \.approvedAt),
    .time("created_at", \.createdAt),
    .json("votes", \.votes, .mixed),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout Proposal?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .submitted(let submission):
      var fresh = Proposal(blank: recorded.stream)
      fresh.dedupeKey = submission.dedupeKey
      fresh.source = submission.source
      fresh.template = submission.template
      fresh.policySnapshot = submission.policySnapshot
      fresh.createdAt = recorded.at
      row = fresh
    case .gateRefused(_, _, _, let reason):
      row?.status = .rejected
      row?.dedupeKey = nil
      row?.reason = reason
      // A reason can be erased, and the caps must still not count the proposal.
      row?.setSnapshot("gate_refused", .bool(true))
    case .autoApproved:
      row?.status = .autoApproved
      row?.approvedAt = recorded.at
    case .voteCalled(let threshold, let deadline, let terms):
      row?.status = .voting
      if row?.votes == nil { row?.votes = "{}" }
      guard let terms else { break }
      let rules = VoteRules(
        threshold: threshold, deadline: deadline, requiredVoters: terms.requiredVoters,
        veto: terms.veto, voters: terms.voters)
      row?.setSnapshot(VoteRules.member, rules.json)
    case .voteCast(let ballot): row?.cast(ballot, at: recorded.at)
    case .voteExpired: row?.status = .pending
    case .approved(let reason):
      row?.status = .approved
      row?.approvedAt = recorded.at
      if let reason { row?.reason = reason }
    case .rejected(let reason):
      row?.status = .rejected
      row?.reason = reason
    }
  }

  private mutating func setSnapshot(_ member: String, _ value: JSON) {
    policySnapshot = (policySnapshot ?? "{}").settingMember(member, to: value)
  }

  private mutating func cast(_ ballot: Ballot, at instant: Instant) {
    let entry: [String: JSON] = [
      "id": .string(ballot.id.description), "vote": .string(ballot.vote.rawValue),
      "created_at": .string(instant.description), "reason": .optional(ballot.reason),
      "metadata": ballot.metadata.flatMap { try? JSON(parsing: $0) } ?? .object([:]),
    ]
    votes = (votes ?? "{}").settingMember(ballot.role, to: .object(entry))
  }

  /// In a vote, reason and metadata are content, and so are members that a manual change added.
  public mutating func eraseContent() {
    template = Erased.json
    reason = nil
    guard let votes else { return }
    let erased = (votes.asJSON.objectValue ?? [:]).mapValues { vote in
      var entry = (vote.objectValue ?? [:]).structure("id", "vote", "created_at")
      entry["reason"] = .null
      entry["metadata"] = .object(["erased": .bool(true)])
      return JSON.object(entry)
    }
    self.votes = JSON.object(erased).text
  }
}

extension Proposal.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable {
    case submitted
    case gateRefused = "gate_refused"
    case autoApproved = "auto_approved"
    case voteCalled = "vote_called"
    case voteCast = "vote_cast"
    case voteExpired = "vote_expired"
    case approved, rejected
  }

  public var kind: Kind {
    switch self {
    case .submitted: .submitted
    case .gateRefused: .gateRefused
    case .autoApproved: .autoApproved
    case .voteCalled: .voteCalled
    case .voteCast: .voteCast
    case .voteExpired: .voteExpired
    case .approved: .approved
    case .rejected: .rejected
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .submitted(let submission):
      data.string("source", submission.source.rawValue)
      if let key = submission.dedupeKey { data.string("dedupe_key", key) }
      if let snapshot = submission.policySnapshot {
        data.raw("policy_snapshot", WrappedJSON.wrap(snapshot))
      }
      content.raw("template", WrappedJSON.wrap(submission.template))
      if let autoApprovalRefusal = submission.autoApprovalRefusal {
        data.string("auto_approval_rule", autoApprovalRefusal.rule)
        content.string("auto_approval_refusal", autoApprovalRefusal.words)
      }
    case .gateRefused(let cap, let limit, let count, let reason):
      data.string("cap", cap.rawValue)
      data.int("limit", limit)
      data.int("count", count)
      if let reason { content.string("reason", reason) }
    case .autoApproved, .voteExpired: break
    case .voteCalled(let threshold, let deadline, let terms):
      data.int("threshold", threshold)
      data.string("deadline", deadline.description)
      if let terms {
        data.json("required_voters", .array(terms.requiredVoters.map(JSON.string)))
        data.bool("veto", terms.veto)
        if let voters = terms.voters { data.json("voters", .array(voters.map(JSON.string))) }
      }
    case .voteCast(let ballot):
      data.string("vote_id", ballot.id.description)
      data.string("role", ballot.role)
      data.string("vote", ballot.vote.rawValue)
      if let reason = ballot.reason { content.string("reason", reason) }
      if let metadata = ballot.metadata { content.raw("metadata", WrappedJSON.wrap(metadata)) }
    case .approved(let reason), .rejected(let reason):
      if let reason { content.string("reason", reason) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .submitted:
      self = .submitted(
        Proposal.Submission(
          source: try payload.label("source", as: Proposal.Source.self),
          dedupeKey: payload.optionalText("dedupe_key"),
          template: try payload.contentJSON("template"),
          policySnapshot: payload.optionalJSON("policy_snapshot"),
          autoApprovalRefusal: payload.optionalText("auto_approval_rule").map {
            AutoApprovalRefusal(
              rule: $0, words: payload.optionalContentText("auto_approval_refusal") ?? "")
          }))
    case .gateRefused:
      self = .gateRefused(
        try payload.label("cap", as: Proposal.Cap.self), limit: try payload.int("limit"),
        count: try payload.int("count"), reason: payload.optionalContentText("reason"))
    case .autoApproved: self = .autoApproved
    case .voteCalled:
      self = .voteCalled(
        threshold: try payload.int("threshold"), deadline: try payload.time("deadline"),
        terms: try Self.terms(payload))
    case .voteCast:
      self = .voteCast(
        Proposal.Ballot(
          id: try payload.id("vote_id"), role: try payload.text("role"),
          vote: try payload.label("vote", as: Proposal.Vote.self),
          reason: payload.optionalContentText("reason"),
          metadata: payload.hasContent("metadata") ? try payload.contentJSON("metadata") : nil))
    case .voteExpired: self = .voteExpired
    case .approved: self = .approved(reason: payload.optionalContentText("reason"))
    case .rejected: self = .rejected(reason: payload.optionalContentText("reason"))
    }
  }

  private static func terms(_ payload: Payload) throws(Unreadable) -> Proposal.VoteTerms? {
    guard let required = Self.texts(payload.optionalJSON("required_voters")) else { return nil }
    return Proposal.VoteTerms(
      requiredVoters: required, veto: try payload.bool("veto"),
      voters: Self.texts(payload.optionalJSON("voters")))
  }

  private static func texts(_ list: String?) -> [String]? {
    list.map { ($0.asJSON.arrayValue ?? []).compactMap(\.stringValue) }
  }
}
