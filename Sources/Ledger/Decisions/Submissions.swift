public import JSON

/// The outcome of a submitted proposal. If the proposal waits, the reason says for what.
public typealias SubmissionOutcome = Reaction.Outcome

extension Draft {
  /// Submits a proposal: checks its template and the caps, auto-approves it if the policy allows it, and then makes its
  /// mission.
  ///
  /// - Parameters:
  ///   - today: The day's proposals so far. This proposal is added if the caps allow it.
  ///   - depth: The number of reactions that led to it. Its row keeps a number above 1.
  /// - Throws: `OPS_004` and `OPS_005`. Nothing is recorded then.
  public mutating func submit(
    _ template: JSON, source: Proposal.Source, dedupeKey: String?, policies: Policies,
    executors: Set<String>, today: inout ProposalCounts, depth: Int = 0, cause: Int64? = nil
  ) throws(OpsError) -> SubmissionOutcome {
    let checked = try Template(template, executors: executors)
    let text = template.text
    guard text.utf8.count <= Template.textBytesMax else {
      throw OpsError(
        .templateInvalid,
        "the template has \(text.utf8.count) bytes; the limit is \(Template.textBytesMax)",
        facts: ["path": "template"])
    }
    if let dedupeKey { try Proposal.check(dedupeKey: dedupeKey) }
    let id = newID()
    let refusal = policies.refusal(of: source, today: today)
    let autoApprovalRefusal = refusal == nil ? policies.autoApprovalRefusal(to: checked) : nil
    append(
      .submitted(
        Proposal.Submission(
          source: source, dedupeKey: dedupeKey, template: text,
          policySnapshot: policies.snapshot(depth: depth), autoApprovalRefusal: autoApprovalRefusal)
      ),
      of: Proposal.self, to: id, cause: cause)
    if let refusal {
      append(
        .gateRefused(
          refusal.cap, limit: refusal.limit, count: refusal.count, reason: refusal.reason),
        of: Proposal.self, to: id)
      return SubmissionOutcome(
        proposalID: id, status: .rejected, missionID: nil, reason: refusal.reason)
    }
    today.add(source)
    if let autoApprovalRefusal {
      let isVoting = callVote(over: id, checked.risk, policies)
      return SubmissionOutcome(
        proposalID: id, status: isVoting ? .voting : .pending, missionID: nil,
        reason: autoApprovalRefusal.words)
    }
    append(.autoApproved, of: Proposal.self, to: id)
    let mission = createMission(of: id, checked)
    return SubmissionOutcome(
      proposalID: id, status: .autoApproved, missionID: mission, reason: nil)
  }

  /// Makes the mission of an approved proposal, with its steps.
  mutating func createMission(of proposal: StreamID, _ template: Template) -> StreamID {
    let mission = newID()
    append(
      .created(
        proposal: proposal, policySnapshot: row(proposal, of: Proposal.self)?.policySnapshot),
      of: Mission.self, to: mission)
    for (ordinal, step) in template.steps.enumerated() {
      append(
        .created(
          Step.Plan(
            missionID: mission, ordinal: Int32(ordinal), kind: step.kind, executor: step.executor,
            needs: step.needs, maxRetries: step.maxRetries, params: step.params.text)),
        of: Step.self, to: newID())
    }
    return mission
  }

  /// A person approves a proposal.
  ///
  /// - Parameter existing: The mission that the proposal already has, which a second approval returns.
  /// - Throws: `OPS_012` if it was rejected; `OPS_004` or `OPS_005` if its template cannot run.
  public mutating func approve(
    _ proposal: Proposal, reason: String?, existing: StreamID?, executors: Set<String>
  ) throws(OpsError) -> StreamID {
    let events = try Proposal.decide(.approve(reason: reason), given: proposal)
    if let existing { return existing }
    let template = try proposal.checkedTemplate(executors)
    for event in events { append(event, of: Proposal.self, to: proposal.id) }
    return createMission(of: proposal.id, template)
  }

  /// Submits the proposal of a queued reaction.
  ///
  /// - Parameter existing: The outcome of the proposal that already has its dedupe key.
  /// - Returns: The outcome; nil if the proposal was invalid.
  public mutating func propose(
    _ request: Reaction.Request, existing: SubmissionOutcome?, policies: Policies,
    executors: Set<String>, today: inout ProposalCounts, cause: Int64?
  ) -> SubmissionOutcome? {
    do throws(OpsError) {
      let outcome =
        if let existing {
          existing
        } else {
          try submit(
            request.template, source: request.source, dedupeKey: request.dedupeKey,
            policies: policies, executors: executors, today: &today, depth: request.depth,
            cause: cause)
        }
      append(.done(outcome), of: Reaction.self, to: request.reaction, cause: cause)
      return outcome
    } catch {
      append(
        .failed(code: error.code.rawValue, error: error.description), of: Reaction.self,
        to: request.reaction, cause: cause)
      return nil
    }
  }
}

extension Reaction {
  /// The proposal that a queued reaction asks for.
  public struct Request: Sendable {
    public let reaction: StreamID
    /// The key that makes its proposal unique.
    public let dedupeKey: String
    let source: Proposal.Source
    let template: JSON
    let depth: Int
  }

  public var request: Request {
    let payload = payload.asJSON
    return Request(
      reaction: id, dedupeKey: payload["dedupe_key"]?.stringValue ?? id.description,
      source: payload["proposal_source"]?.stringValue.flatMap(Proposal.Source.init) ?? .reaction,
      template: payload["proposal_template"] ?? .null,
      depth: payload["causation_depth"]?.intValue ?? 1)
  }
}

extension Reaction.Request {
  /// The request of a reaction that this command queues, without a parse of its payload.
  init(of reaction: StreamID, _ intent: Reaction.Intent, template: JSON) {
    self.init(
      reaction: reaction, dedupeKey: intent.dedupeKey, source: intent.proposalSource,
      template: template, depth: Int(intent.depth))
  }
}

extension Policies {
  struct Refusal {
    var cap: Proposal.Cap
    var limit: Int32
    var count: Int32
    var reason: String
  }

  func refusal(of source: Proposal.Source, today: ProposalCounts) -> Refusal? {
    switch caps {
    case .absent:
      return Refusal(
        cap: .policy, limit: 0, count: today.total,
        reason: "OPS_003: there is no policy proposal_caps, which counts as reached; "
          + "`opsledger policy rollback` brings it back")
    case .broken(let error):
      return Refusal(
        cap: .policy, limit: 0, count: today.total,
        reason: "OPS_003: proposal_caps counts as reached, since it is broken: \(error.message)")
    case .valid(let caps):
      guard let reached = caps.reached(by: source, today: today) else { return nil }
      let what = reached.cap == .daily ? "daily_limit" : "per_source.\(source.rawValue)"
      return Refusal(
        cap: reached.cap, limit: reached.limit, count: reached.count,
        reason: "OPS_003: \(what) of \(reached.limit) reached (\(reached.count) today; "
          + "resets at 00:00 UTC)")
    }
  }

  func autoApprovalRefusal(to template: Template) -> AutoApprovalRefusal? {
    switch autoApprove {
    case .absent:
      AutoApprovalRefusal(rule: AutoApprove.key, words: "there is no policy auto_approve")
    case .broken(let error):
      AutoApprovalRefusal(
        rule: AutoApprove.key,
        words: "auto_approve counts as off, since it is broken: \(error.message)")
    case .valid(let policy): policy.autoApprovalRefusal(to: template)
    }
  }
}

/// The outcome that a proposal would have if it was submitted now.
public struct SubmissionVerdict: Equatable, Sendable {
  /// Nil if it is invalid.
  public var status: Proposal.Status?
  public var words: String
}

extension Policies {
  /// Checks a template against the caps and the auto-approval, and records nothing.
  public func verdict(
    on template: JSON, source: Proposal.Source, executors: Set<String>, today: ProposalCounts
  ) -> SubmissionVerdict {
    let checked: Template
    do { checked = try Template(template, executors: executors) } catch {
      return SubmissionVerdict(status: nil, words: error.description)
    }
    if let refusal = refusal(of: source, today: today) {
      return SubmissionVerdict(status: .rejected, words: refusal.reason)
    }
    guard let autoApprovalRefusal = autoApprovalRefusal(to: checked) else {
      return SubmissionVerdict(status: .autoApproved, words: "approved by itself")
    }
    let votes = checked.risk > .low && voting.value?.enabled == true
    return SubmissionVerdict(
      status: votes ? .voting : .pending,
      words: (votes ? "a vote is called: " : "it waits for a person: ") + autoApprovalRefusal.words)
  }
}

extension Proposal {
  /// An index can hold a key of this size.
  public static let dedupeKeyBytesMax = 500

  func checkedTemplate(_ executors: Set<String>) throws(OpsError) -> Template {
    try Template(template.asJSON, executors: executors)
  }

  /// - Throws: `OPS_004` for a key that is empty or too long.
  static func check(dedupeKey: String) throws(OpsError) {
    guard !(1...dedupeKeyBytesMax).contains(dedupeKey.utf8.count) else { return }
    throw OpsError(
      .templateInvalid,
      "the dedupe_key has \(dedupeKey.utf8.count) bytes, and not 1 to \(dedupeKeyBytesMax)",
      facts: ["path": "dedupe_key"])
  }
}
