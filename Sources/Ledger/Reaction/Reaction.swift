public import JSON

/// The reaction of one pattern to one agent event: a row of `ops_agent_reactions`.
public struct Reaction: Sendable {
  public enum Status: String, CaseIterable, Sendable { case queued, processing, done, failed }

  public var id: StreamID
  public var eventID: StreamID?
  public var status: Status = .queued
  public var payload: String
  public var createdAt: Instant
  public var updatedAt: Instant
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    payload = "{}"
    createdAt = Instant(micros: 0)
    updatedAt = Instant(micros: 0)
  }

  /// The proposal that a pattern asks for, with its rendered template.
  public struct Intent: Equatable, Sendable {
    public var eventID: StreamID
    public var eventType: String
    public var patternID: String
    public var proposalSource: Proposal.Source
    public var dedupeKey: String
    public var template: String
    /// The number of reactions in the chain, with this one.
    public var depth: Int32 = 1
  }

  public enum Event: Equatable, Sendable {
    case queued(Intent)
    /// Its proposal is recorded, perhaps as refused by a cap.
    case done(Outcome)
    /// Its proposal was invalid.
    case failed(code: String, error: String?)
    /// A person queued it again.
    case retried(why: String?)
  }

  public struct Outcome: Equatable, Sendable {
    public var proposalID: StreamID
    public var status: Proposal.Status
    public var missionID: StreamID?
    public var reason: String?

    public init(
      proposalID: StreamID, status: Proposal.Status, missionID: StreamID?, reason: String?
    ) {
      self.proposalID = proposalID
      self.status = status
      self.missionID = missionID
      self.reason = reason
    }
  }
}

extension Reaction: Row {
  public static let name = RowType.reaction
  public static let table = "ops_agent_reactions"
  public static var drafted: any DraftPath<Reaction> { \.reactions }
  public static let columns: [Column<Reaction>] = [
    .uuid("id", \.id),
    .uuid("event_id", \.eventID),
    .label("status", \.status),
    .json("payload", \.payload, .mixed),
    .time("created_at", \.createdAt),
    .time("updated_at", \.updatedAt),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout Reaction?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .queued(let intent):
      var fresh = Reaction(blank: recorded.stream)
      fresh.eventID = intent.eventID
      fresh.payload = intent.payload
      fresh.createdAt = recorded.at
      fresh.updatedAt = recorded.at
      row = fresh
    case .done(let outcome):
      row?.status = .done
      if let payload = row?.payload {
        row?.payload = payload.settingMember("result", toText: outcome.text)
      }
    case .failed(_, let error):
      row?.status = .failed
      row?.setPayload("error", .optional(error))
    case .retried:
      row?.status = .queued
      row?.setPayload("error", nil)
      row?.setPayload("result", nil)
    }
    if let updated = row?.updatedAt { row?.updatedAt = max(updated, recorded.at) }
  }

  private mutating func setPayload(_ key: String, _ value: JSON?) {
    payload = payload.settingMember(key, to: value)
  }

  /// The template, the error and the result's reason are content, and so are members that a manual change added. The
  /// engine's ids, kinds and statuses stay.
  public mutating func eraseContent() {
    let members = payload.asJSON.objectValue ?? [:]
    var kept = members.structure(
      "dedupe_key", "event_type", "pattern_id", "causation_depth", "proposal_source")
    if members["proposal_template"] != nil {
      kept["proposal_template"] = .object(["erased": .bool(true)])
    }
    if members["error"] != nil { kept["error"] = .null }
    if let result = members["result"] {
      var outcome = (result.objectValue ?? [:])
        .structure("r_proposal_id", "r_status", "r_mission_id")
      outcome["r_reason"] = .null
      kept["result"] = .object(outcome)
    }
    payload = JSON.object(kept).text
  }
}

extension Reaction.Intent {
  /// The payload of the predecessor (`origin.md` 1.6), in `jsonb`'s spelling: shorter keys first.
  var payload: String {
    var out = JSONObjectWriter(reservingBytes: 192 + template.utf8.count)
    out.string("dedupe_key", dedupeKey)
    out.string("event_type", eventType)
    out.string("pattern_id", patternID)
    if depth > 1 { out.int("causation_depth", depth) }
    out.string("proposal_source", proposalSource.rawValue)
    out.raw("proposal_template", template)
    return out.finish()
  }
}

extension Reaction.Outcome {
  /// The row that the predecessor's create function returned, in `jsonb`'s spelling.
  var text: String {
    var out = JSONObjectWriter(reservingBytes: 192)
    out.json("r_reason", .optional(reason))
    out.string("r_status", status.rawValue)
    out.json("r_mission_id", .optional(missionID?.description))
    out.string("r_proposal_id", proposalID.description)
    return out.finish()
  }
}

extension Reaction.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable { case queued, done, failed, retried }

  public var kind: Kind {
    switch self {
    case .queued: .queued
    case .done: .done
    case .failed: .failed
    case .retried: .retried
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .queued(let intent):
      data.string("event_id", intent.eventID.description)
      data.string("event_type", intent.eventType)
      data.string("pattern_id", intent.patternID)
      data.string("proposal_source", intent.proposalSource.rawValue)
      data.string("dedupe_key", intent.dedupeKey)
      if intent.depth > 1 { data.int("causation_depth", intent.depth) }
      content.raw("proposal_template", WrappedJSON.wrap(intent.template))
    case .done(let outcome):
      data.string("proposal_id", outcome.proposalID.description)
      data.string("status", outcome.status.rawValue)
      if let mission = outcome.missionID { data.string("mission_id", mission.description) }
      if let reason = outcome.reason { content.string("reason", reason) }
    case .failed(let code, let error):
      data.string("code", code)
      if let error { content.string("error", error) }
    case .retried(let why):
      if let why { content.string("why", why) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .queued:
      self = .queued(
        Reaction.Intent(
          eventID: try payload.id("event_id"), eventType: try payload.text("event_type"),
          patternID: try payload.text("pattern_id"),
          proposalSource: try payload.label("proposal_source", as: Proposal.Source.self),
          dedupeKey: try payload.text("dedupe_key"),
          template: try payload.contentJSON("proposal_template"),
          depth: try payload.optionalInt("causation_depth") ?? 1))
    case .done:
      self = .done(
        Reaction.Outcome(
          proposalID: try payload.id("proposal_id"),
          status: try payload.label("status", as: Proposal.Status.self),
          missionID: try payload.optionalID("mission_id"),
          reason: payload.optionalContentText("reason")))
    case .failed:
      self = .failed(
        code: try payload.text("code"), error: payload.optionalContentText("error"))
    case .retried: self = .retried(why: payload.optionalContentText("why"))
    }
  }
}
