public import JSON

/// A field by which an event names another row, and which of the two holds a copy of what the other says.
///
/// An erasure follows these links, and a hold on a source keeps what they reach. Each event type declares its own
/// (``RowEvent/links(_:)``), each noun those of its columns (``Row/columnLinks``). `ledger.copies_of` has those that
/// copy; `StreamLinkTests` compares the two.
public struct StreamLink: Equatable, Sendable {
  public enum Part: String, Sendable { case data, content }

  public enum Copy: String, Sendable {
    /// The event's own row copies from the named one.
    case fromNamed = "from"
    /// The named row copies from the event's own.
    case intoNamed = "into"
    case none
  }

  /// Which row the field names.
  public enum Meaning: String, Sendable {
    case row
    /// The row, if an event of the same entry changed it.
    case changed
    /// The field names a mission, and means the step that failed it in the same entry.
    case failedStep = "failed"
  }

  /// What the named row is.
  public let rowType: RowType
  public let part: Part
  /// Names of members, and `1` for the second element of an array; where an array stands there, each of its elements.
  public let path: [String]
  public let copy: Copy
  /// Whether the copy is all that its row says: an erasure of the copy then is one of the original, too.
  public var isOrigin = false
  public var meaning = Meaning.row
  /// Only of agent events whose type begins so.
  public var ofType = ""

  /// The rows that the field names.
  ///
  /// - Parameter payload: The link's part of an event's payload.
  public func named(in payload: JSON) -> [StreamID] {
    var field: JSON? = payload
    for name in path {
      if let pair = field?.arrayValue {
        field = name == "1" && pair.count == 2 ? pair[1] : nil
      } else {
        field = field?[name]
      }
    }
    guard let field else { return [] }
    return (field.arrayValue ?? [field]).compactMap(\.idValue)
  }

  /// A copy of what a named row says.
  static func from(_ rowType: RowType, _ path: String..., in part: Part = .data) -> StreamLink {
    StreamLink(rowType: rowType, part: part, path: path, copy: .fromNamed)
  }

  static func into(_ rowType: RowType, _ path: String..., in part: Part = .data) -> StreamLink {
    StreamLink(rowType: rowType, part: part, path: path, copy: .intoNamed)
  }

  /// A name, and no copy.
  static func naming(_ rowType: RowType, _ path: String...) -> StreamLink {
    StreamLink(rowType: rowType, part: .data, path: path, copy: .none)
  }

  /// What it is made of.
  func asOrigin() -> StreamLink {
    var link = self
    link.isOrigin = true
    return link
  }

  func meaning(_ meaning: Meaning) -> StreamLink {
    var link = self
    link.meaning = meaning
    return link
  }

  func ofType(_ prefix: String) -> StreamLink {
    var link = self
    link.ofType = prefix
    return link
  }

  /// The same of a column, as an event that carries columns has it.
  fileprivate func inColumns() -> StreamLink { at(part == .data ? ["columns"] + path : path) }

  fileprivate func inChanges() -> StreamLink {
    let pair = [path[0], "1"] + path.dropFirst()
    return at(part == .data ? ["changes"] + pair : pair)
  }

  private func at(_ path: [String]) -> StreamLink {
    var link = StreamLink(rowType: rowType, part: part, path: path, copy: copy)
    (link.isOrigin, link.meaning, link.ofType) = (isOrigin, meaning, ofType)
    return link
  }
}

extension StreamEvent {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .own(let kind): R.Event.links(kind)
    case .common(let kind):
      switch kind {
      case .inserted, .restored: R.columnLinks.map { $0.inColumns() }
      case .amended: R.columnLinks.map { $0.inChanges() }
      case .archived: [.naming(.mission, "mission_id")]
      case .removed, .erased: []
      }
    }
  }
}

extension StreamLink {
  /// By the names of event types.
  public static let all: [(type: String, links: [StreamLink])] = RowType.allCases.flatMap {
    all($0.type)
  }

  private static func all<R: Row>(_: R.Type) -> [(type: String, links: [StreamLink])] {
    StreamEvent<R>.Kind.all.map { kind in
      (R.eventType(kind), StreamEvent<R>.links(kind))
    }
  }
}

// MARK: - What each noun's columns and events name

extension LedgerRecord {
  public static var columnLinks: [StreamLink] { [] }
}

extension LedgerRecord.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .created, .migrated, .rebuilt, .moved, .restored, .forked, .drilled, .signingKeyChanged: []
    }
  }
}

extension Policy {
  public static var columnLinks: [StreamLink] { [] }
}

extension Policy.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .set: []
    }
  }
}

extension Radar {
  public static var columnLinks: [StreamLink] { [] }
}

extension Radar.Event {
  /// What a step did to the row, that step's event names.
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .added, .updated: []
    }
  }
}

extension Proposal {
  public static var columnLinks: [StreamLink] { [] }
}

extension Proposal.Event {
  /// The reaction that made it names it.
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .submitted, .gateRefused, .autoApproved, .voteCalled, .voteCast, .voteExpired, .approved,
      .rejected:
      []
    }
  }
}

extension Mission {
  public static var columnLinks: [StreamLink] { [.from(.proposal, "proposal_id").asOrigin()] }
}

extension Mission.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .created: [.from(.proposal, "proposal_id").asOrigin()]
    case .started, .succeeded: []
    case .failed, .reopened: [.naming(.step, "step_id")]
    }
  }
}

extension AgentEvent {
  public static var columnLinks: [StreamLink] { [.from(.mission, "mission_id")] + told }

  /// What the loop, or a function of the schema, reported of a proposal, or of a step: its result, or its error.
  fileprivate static var told: [StreamLink] {
    [
      .from(.proposal, "data", "proposal_id", in: .content).ofType("proposal:"),
      .from(.step, "data", "step_id", in: .content).ofType("step:"),
    ]
  }
}

extension AgentEvent.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .reported:
      // A failed mission's report has the error of the step that failed it.
      [
        .from(.mission, "mission_id"),
        .from(.step, "mission_id").meaning(.failedStep).ofType("mission:failed"),
      ] + AgentEvent.told
    case .processed: [.naming(.reaction, "patterns", "reaction_id")]
    }
  }
}

extension Reaction {
  public static var columnLinks: [StreamLink] {
    [
      .from(.agentEvent, "event_id").asOrigin(),
      .into(.proposal, "payload", "result", "r_proposal_id").asOrigin(),
    ]
  }
}

extension Reaction.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .queued: [.from(.agentEvent, "event_id").asOrigin()]
    case .done: [.into(.proposal, "proposal_id").asOrigin(), .naming(.mission, "mission_id")]
    case .failed, .retried: []
    }
  }
}

extension Step {
  public static var columnLinks: [StreamLink] { [.from(.mission, "mission_id")] }
}

extension Step.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .created: [.from(.mission, "mission_id")]
    case .leased, .attemptFailed: [.naming(.run, "run_id")]
    case .succeeded:
      // A result that repeats rows names them, and what a step put on the radar repeats the step.
      [
        .naming(.run, "run_id"), .from(.radar, "reads"),
        .into(.radar, "result", "id", in: .content).meaning(.changed),
      ]
    case .renewed, .skipped, .requeued, .retryScheduled, .deadLettered: []
    }
  }
}

extension Run {
  public static var columnLinks: [StreamLink] { [.from(.step, "step_id")] }
}

extension Run.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .started: [.from(.step, "step_id")]
    case .succeeded, .failed: []
    }
  }
}

extension Hold {
  public static var columnLinks: [StreamLink] { [.naming(.mission, "mission_id")] }
}

extension Hold.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .placed: [.naming(.mission, "mission_id")]
    case .released: []
    }
  }
}
