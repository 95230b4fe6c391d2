public import JSON

/// A field in which an event names another row, and which of the two rows has a copy of the other's content.
///
/// An erasure follows these links, and a hold on a source keeps the rows that they reach. Each event type declares its
/// links (``RowEvent/links(_:)``), and each row type the links of its columns (``Row/columnLinks``).
/// `ledger.copies_of` has the links that copy. `StreamLinkTests` compares the two.
public struct StreamLink: Equatable, Sendable {
  public enum Part: String, Sendable { case data, content }

  public enum Copy: String, Sendable {
    /// The event's row has a copy of the named row.
    case fromNamed = "from"
    /// The named row has a copy of the event's row.
    case intoNamed = "into"
    case none
  }

  /// The row that the field means.
  public enum Meaning: String, Sendable {
    case row
    /// The named row, if an event of the same entry changed it.
    case changed
    /// The step that failed the named mission in the same entry.
    case failedStep = "failed"
  }

  /// The row type of the named row.
  public let rowType: RowType
  public let part: Part
  /// Names of members, or `1` for the second element of a pair. If the field is an array, each element names a row.
  public var path: [String]
  public let copy: Copy
  /// Whether the copy is the whole content of its row. An erasure of the copy then erases the original too.
  public var isOrigin = false
  public var meaning = Meaning.row
  /// The link holds only for agent events whose type begins with this text.
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

  static func from(
    _ rowType: RowType, _ path: String..., in part: Part = .data, isOrigin: Bool = false,
    meaning: Meaning = .row, ofType: String = ""
  ) -> StreamLink {
    StreamLink(
      rowType: rowType, part: part, path: path, copy: .fromNamed, isOrigin: isOrigin,
      meaning: meaning,
      ofType: ofType)
  }

  static func into(
    _ rowType: RowType, _ path: String..., in part: Part = .data, isOrigin: Bool = false,
    meaning: Meaning = .row
  ) -> StreamLink {
    StreamLink(
      rowType: rowType, part: part, path: path, copy: .intoNamed, isOrigin: isOrigin,
      meaning: meaning)
  }

  /// A name without a copy.
  static func naming(_ rowType: RowType, _ path: String...) -> StreamLink {
    StreamLink(rowType: rowType, part: .data, path: path, copy: .none)
  }

  /// The link of a column in an event that carries columns.
  fileprivate func inColumns() -> StreamLink { at(path, under: "columns") }

  /// The link of a column in an event that carries pairs of an old and a new value.
  fileprivate func inChanges() -> StreamLink {
    at([path[0], "1"] + path.dropFirst(), under: "changes")
  }

  private func at(_ path: [String], under member: String) -> StreamLink {
    var link = self
    link.path = part == .data ? [member] + path : path
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
  /// All links, with the names of their event types.
  public static let all: [(type: String, links: [StreamLink])] = RowType.allCases.flatMap {
    all($0.type)
  }

  private static func all<R: Row>(_: R.Type) -> [(type: String, links: [StreamLink])] {
    StreamEvent<R>.Kind.all.map { (R.eventType($0), StreamEvent<R>.links($0)) }
  }
}

// MARK: - The links of each row type's columns and events

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
  /// The event of a step names the radar item that the step changed.
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
  /// A reaction names the proposal that it made.
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .submitted, .gateRefused, .autoApproved, .voteCalled, .voteCast, .voteExpired, .approved,
      .rejected:
      []
    }
  }
}

extension Mission {
  public static var columnLinks: [StreamLink] { [.from(.proposal, "proposal_id", isOrigin: true)] }
}

extension Mission.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .created: [.from(.proposal, "proposal_id", isOrigin: true)]
    case .started, .succeeded: []
    case .failed, .reopened: [.naming(.step, "step_id")]
    }
  }
}

extension AgentEvent {
  public static var columnLinks: [StreamLink] { [.from(.mission, "mission_id")] + told }

  /// The reports of the loop, or of a function of the schema, about a proposal, or about a step's result or error.
  fileprivate static var told: [StreamLink] {
    [
      .from(.proposal, "data", "proposal_id", in: .content, ofType: "proposal:"),
      .from(.step, "data", "step_id", in: .content, ofType: "step:"),
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
        .from(.step, "mission_id", meaning: .failedStep, ofType: "mission:failed"),
      ] + AgentEvent.told
    case .processed: [.naming(.reaction, "patterns", "reaction_id")]
    }
  }
}

extension Reaction {
  public static var columnLinks: [StreamLink] {
    [
      .from(.agentEvent, "event_id", isOrigin: true),
      .into(.proposal, "payload", "result", "r_proposal_id", isOrigin: true),
    ]
  }
}

extension Reaction.Event {
  public static func links(_ kind: Kind) -> [StreamLink] {
    switch kind {
    case .queued: [.from(.agentEvent, "event_id", isOrigin: true)]
    case .done: [.into(.proposal, "proposal_id", isOrigin: true), .naming(.mission, "mission_id")]
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
      // A result that copies rows names them, and a radar item that a step added has a copy of the step.
      [
        .naming(.run, "run_id"), .from(.radar, "reads"),
        .into(.radar, "result", "id", in: .content, meaning: .changed),
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
