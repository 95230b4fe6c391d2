public import JSON

/// Approved work: a row of `ops_missions`. It succeeds when all its steps have.
public struct Mission: Sendable {
  public enum Status: String, CaseIterable, Sendable { case approved, running, succeeded, failed }

  public var id: StreamID
  public var proposalID: StreamID?
  public var status: Status = .approved
  public var policySnapshot: String?
  public var startedAt: Instant?
  public var completedAt: Instant?
  public var createdAt: Instant
  public var updatedAt: Instant
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    createdAt = Instant(micros: 0)
    updatedAt = Instant(micros: 0)
  }

  public enum Event: Equatable, Sendable {
    case created(proposal: StreamID, policySnapshot: String?)
    /// A worker claimed the first of its steps.
    case started
    case succeeded
    case failed(step: StreamID)
    /// A dead step was retried.
    case reopened(step: StreamID)
  }
}

extension Mission: Row {
  public static let name = RowType.mission
  public static let table = "ops_missions"
  public static var drafted: any DraftPath<Mission> { \.missions }
  public static let columns: [Column<Mission>] = [
    .uuid("id", \.id),
    .uuid("proposal_id", \.proposalID),
    .label("status", \.status, type: "ops_mission_status"),
    .json("policy_snapshot", \.policySnapshot, .data),
    .time("started_at", \.startedAt),
    .time("completed_at", \.completedAt),
    .time("created_at", \.createdAt),
    .time("updated_at", \.updatedAt),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout Mission?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .created(let proposal, let snapshot):
      var fresh = Mission(blank: recorded.stream)
      fresh.proposalID = proposal
      fresh.policySnapshot = snapshot
      fresh.createdAt = recorded.at
      fresh.updatedAt = recorded.at
      row = fresh
    case .started:
      row?.status = .running
      row?.startedAt = recorded.at
    case .succeeded:
      row?.status = .succeeded
      row?.completedAt = recorded.at
    case .failed:
      row?.status = .failed
      row?.completedAt = recorded.at
    case .reopened:
      row?.status = .running
      row?.completedAt = nil
    }
    if let updated = row?.updatedAt { row?.updatedAt = max(updated, recorded.at) }
  }
}

extension Mission.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable {
    case created, started, succeeded, failed, reopened
  }

  public var kind: Kind {
    switch self {
    case .created: .created
    case .started: .started
    case .succeeded: .succeeded
    case .failed: .failed
    case .reopened: .reopened
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .created(let proposal, let snapshot):
      data.string("proposal_id", proposal.description)
      if let snapshot { data.raw("policy_snapshot", WrappedJSON.wrap(snapshot)) }
    case .started, .succeeded: break
    case .failed(let step), .reopened(let step): data.string("step_id", step.description)
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .created:
      self = .created(
        proposal: try payload.id("proposal_id"),
        policySnapshot: payload.optionalJSON("policy_snapshot"))
    case .started: self = .started
    case .succeeded: self = .succeeded
    case .failed: self = .failed(step: try payload.id("step_id"))
    case .reopened: self = .reopened(step: try payload.id("step_id"))
    }
  }
}
