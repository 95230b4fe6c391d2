public import JSON
public import Ledger
public import Log

// The answers of commands as idempotency keys keep them. An erasure of a row removes the answers of its commands.

extension Bool: RecordedAnswer {
  public var recorded: JSON { .bool(self) }

  public init?(recorded: JSON) {
    guard let value = recorded.boolValue else { return nil }
    self = value
  }
}

extension Int: RecordedAnswer {
  public var recorded: JSON { .int(self) }

  public init?(recorded: JSON) {
    guard let value = recorded.intValue else { return nil }
    self = value
  }
}

extension Requeued: RecordedAnswer {
  public var recorded: JSON { .object(["dead": .int(dead), "steps": .int(steps)]) }

  public init?(recorded: JSON) {
    guard let dead = recorded["dead"]?.intValue, let steps = recorded["steps"]?.intValue else {
      return nil
    }
    self.init(dead: dead, steps: steps)
  }
}

extension PolicyChange: RecordedAnswer {
  public var recorded: JSON { .object(["version": .int(version), "changed": .bool(isChanged)]) }

  public init?(recorded: JSON) {
    guard let version = recorded["version"]?.intValue.flatMap(Int32.init(exactly:)),
      let isChanged = recorded["changed"]?.boolValue
    else { return nil }
    self.init(version: version, isChanged: isChanged)
  }
}

/// Changes of several policies by their keys.
extension [String: PolicyChange]: RecordedAnswer {
  public var recorded: JSON { .object(mapValues(\.recorded)) }

  public init?(recorded: JSON) {
    guard let members = recorded.objectValue else { return nil }
    self = members.compactMapValues { PolicyChange(recorded: $0) }
    guard count == members.count else { return nil }
  }
}

extension SubmissionOutcome: RecordedAnswer {
  public var recorded: JSON {
    .object([
      "proposal_id": proposalID.recorded, "status": .string(status.rawValue),
      "mission_id": missionID?.recorded ?? .null, "reason": .optional(reason),
    ])
  }

  public init?(recorded: JSON) {
    guard let id = recorded["proposal_id"].flatMap({ StreamID(recorded: $0) }),
      let status = recorded["status"]?.stringValue.flatMap({ Proposal.Status(rawValue: $0) })
    else { return nil }
    self.init(
      proposalID: id, status: status,
      missionID: recorded["mission_id"].flatMap { StreamID(recorded: $0) },
      reason: recorded["reason"]?.stringValue)
  }
}

extension VoteOutcome: RecordedAnswer {
  public var recorded: JSON {
    var members: [String: JSON] = [
      "status": .string(status.rawValue), "mission_id": missionID?.recorded ?? .null,
    ]
    switch consensus {
    case nil: break
    case .approved(let by): members["approved"] = .array(by.map(JSON.string))
    case .vetoed(let by, let reason):
      members["vetoed"] = .object(["by": .string(by), "reason": .optional(reason)])
    case .open(let approvals, let voters):
      members["open"] = .object([
        "approvals": .int(approvals), "voters": .array(voters.map(JSON.string)),
      ])
    }
    return .object(members)
  }

  public init?(recorded: JSON) {
    guard let status = recorded["status"]?.stringValue.flatMap({ Proposal.Status(rawValue: $0) })
    else { return nil }
    let consensus: Consensus? =
      if let by = recorded["approved"]?.arrayValue {
        .approved(by: by.compactMap(\.stringValue))
      } else if let veto = recorded["vetoed"], let by = veto["by"]?.stringValue {
        .vetoed(by: by, reason: veto["reason"]?.stringValue)
      } else if let open = recorded["open"], let approvals = open["approvals"]?.intValue {
        .open(
          approvalsMissing: approvals,
          votersMissing: open["voters"]?.arrayValue?.compactMap(\.stringValue) ?? [])
      } else { nil }
    self.init(
      status: status, missionID: recorded["mission_id"].flatMap { StreamID(recorded: $0) },
      consensus: consensus)
  }
}
