import JSON

/// The name of an event type in the log's column `type`: a row type, and what happened to the row.
///
/// Each row type's `Event.Kind`, and ``CommonKind``, declare what can happen. No other Swift code spells a name.
public enum EventType: Equatable, Sendable {
  case ledger(StreamEvent<LedgerRecord>.Kind)
  case policy(StreamEvent<Policy>.Kind)
  case radar(StreamEvent<Radar>.Kind)
  case proposal(StreamEvent<Proposal>.Kind)
  case mission(StreamEvent<Mission>.Kind)
  case agentEvent(StreamEvent<AgentEvent>.Kind)
  case reaction(StreamEvent<Reaction>.Kind)
  case step(StreamEvent<Step>.Kind)
  case run(StreamEvent<Run>.Kind)
  case hold(StreamEvent<Hold>.Kind)

  /// Nil for a name that this release does not know.
  public init?(_ name: some StringProtocol) {
    guard let rowType = RowType(ofType: name) else { return nil }
    let suffix = String(name.dropFirst(rowType.rawValue.count + 1))
    func read<R>(_ make: (StreamEvent<R>.Kind) -> EventType) -> EventType? {
      StreamEvent<R>.Kind(suffix).map(make)
    }
    let found: EventType? =
      switch rowType {
      case .ledger: read(EventType.ledger)
      case .policy: read(EventType.policy)
      case .radar: read(EventType.radar)
      case .proposal: read(EventType.proposal)
      case .mission: read(EventType.mission)
      case .agentEvent: read(EventType.agentEvent)
      case .reaction: read(EventType.reaction)
      case .step: read(EventType.step)
      case .run: read(EventType.run)
      case .hold: read(EventType.hold)
      }
    guard let found else { return nil }
    self = found
  }

  /// Nil for an event type that only this row type has.
  public var common: CommonKind? {
    switch self {
    case .ledger(let kind): kind.common
    case .policy(let kind): kind.common
    case .radar(let kind): kind.common
    case .proposal(let kind): kind.common
    case .mission(let kind): kind.common
    case .agentEvent(let kind): kind.common
    case .reaction(let kind): kind.common
    case .step(let kind): kind.common
    case .run(let kind): kind.common
    case .hold(let kind): kind.common
    }
  }
}

extension RowType {
  /// The row type in the name of an event type. This release need not know the event type.
  public init?(ofType name: some StringProtocol) {
    guard let dot = name.firstIndex(of: ".") else { return nil }
    self.init(rawValue: String(name[..<dot]))
  }
}

extension Row {
  /// `step.leased`.
  public static func eventType(_ kind: Event.Kind) -> String { eventType(.own(kind)) }

  /// `step.amended`.
  public static func eventType(common kind: CommonKind) -> String { eventType(.common(kind)) }

  public static func eventType(_ kind: StreamEvent<Self>.Kind) -> String {
    name.rawValue + "." + kind.suffix
  }

  /// A pattern that matches all event types of the row type.
  public static var anyEventType: String { name.rawValue + ".*" }
}

extension CommonKind {
  /// The end of the event type's name: `.erased`.
  public var typeSuffix: String { "." + rawValue }
}

extension StreamEvent {
  /// Reads a payload from its texts.
  public init(_ kind: Kind, data: String, content: String?) throws(Unreadable) {
    let (dataReader, contentReader) = (JSONReader(), JSONReader())
    let (data, content) = (Array(data.utf8), content.map { Array($0.utf8) })
    self = try data.withUnsafeBytes { data in
      (content ?? []).withUnsafeBytes { bytes in
        Result { () throws(Unreadable) in
          guard let data = dataReader.fields(data),
            let content = content == nil ? JSONFields.none : contentReader.fields(bytes)
          else { throw Unreadable("the payload is not an object") }
          return try StreamEvent(kind, from: Payload(data: data, content: content))
        }
      }
    }.get()
  }
}
