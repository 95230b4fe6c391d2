public import JSON

/// The ten row types. Each has a table, and each row is a stream.
///
/// Parents come before children, for the foreign keys: rows are written in this order, and removed in the opposite
/// order.
public enum RowType: String, CaseIterable, Sendable {
  case ledger
  case policy
  case radar
  case proposal
  case mission
  case agentEvent = "agent_event"
  case reaction
  case step
  case run
  case hold

  public var type: any Row.Type {
    switch self {
    case .ledger: LedgerRecord.self
    case .policy: Policy.self
    case .radar: Radar.self
    case .proposal: Proposal.self
    case .mission: Mission.self
    case .agentEvent: AgentEvent.self
    case .reaction: Reaction.self
    case .step: Step.self
    case .run: Run.self
    case .hold: Hold.self
    }
  }

  /// Whether its table is one of the eight `ops_*` tables.
  public var isOfTheEight: Bool { self != .hold && self != .ledger }
}

/// The row of an event, the event's position in its stream, and its time.
public struct Recorded: Equatable, Sendable {
  public let stream: StreamID
  /// The position from 1, which is the row's version after the event.
  public let version: Int32
  /// The database's clock when the entry was allocated.
  public let at: Instant

  public init(stream: StreamID, version: Int32, at: Instant) {
    self.stream = stream
    self.version = version
    self.at = at
  }
}

/// The events that only one row type has.
public protocol RowEvent: Equatable, Sendable {
  /// The part of the event type's name after the row type: `leased`.
  associatedtype Kind: RawRepresentable<String> & CaseIterable & Equatable & Sendable

  var kind: Kind { get }

  /// Writes the payload's two halves.
  func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter)

  /// Whether the row needs the payload. A payload that it does not need is not parsed.
  static func isRead(_ kind: Kind) -> Bool

  /// The fields that name other rows. Erasures, and holds on a source, reach rows by these links only.
  static func links(_ kind: Kind) -> [StreamLink]

  /// Reads a recorded payload, which may be years old, and whose content may be erased.
  init(_ kind: Kind, from payload: Payload) throws(Unreadable)
}

extension RowEvent {
  public static func isRead(_ kind: Kind) -> Bool { true }
}

/// A row type: a struct of its table's ledger columns, and the fold that makes it.
public protocol Row: Sendable {
  associatedtype Event: RowEvent

  static var name: RowType { get }
  /// The table, with its schema if that is not `public`.
  static var table: String { get }
  /// The first column is the primary key.
  static var columns: [Column<Self>] { get }

  /// The links of events that carry columns; see ``RowEvent/links(_:)``.
  static var columnLinks: [StreamLink] { get }

  static var drafted: any DraftPath<Self> { get }

  var version: Int32 { get set }

  /// A row with the defaults of its table.
  init(blank stream: StreamID)

  /// Folds one event into the row, and refuses none: it happened. The result depends only on the row and the event, so
  /// every replay gives the same row.
  static func evolve(_ row: inout Self?, _ event: Event, _ recorded: Recorded)

  mutating func eraseContent()
}

extension Row {
  /// Nullable content becomes null, other text `[erased]`, and other json `{"erased": true}`.
  public mutating func eraseContent() {
    for column in Self.columns where column.part == .content {
      _ = column.set(&self, Erased.marker(of: column))
    }
  }

  /// The value of a column after its content was erased.
  static func erased(_ value: Value, of column: Column<Self>) -> Value {
    var row = Self(blank: StreamID(high: 0, low: 0))
    guard column.set(&row, value) else { return value }
    row.eraseContent()
    return column.get(row)
  }

  public static func column(named name: String) -> Column<Self>? {
    columns.first { $0.name == name }
  }
}

/// The values that replace erased content.
public enum Erased {
  public static let text = "[erased]"
  public static let json = #"{"erased": true}"#

  static func marker<Row>(of column: Column<Row>) -> Value {
    if column.isNullable { return .null }
    return column.type == .json ? .json(json) : .text(text)
  }
}

/// An event of a stream: an event that only its row type has, or one of the six that every row type has.
public enum StreamEvent<R: Row>: Sendable {
  case own(R.Event)
  case common(CommonEvent<R>)

  /// `step.leased`.
  public var type: String {
    switch self {
    case .own(let event): R.eventType(event.kind)
    case .common(let event): R.eventType(common: event.kind)
    }
  }
}

extension Row {
  /// Folds one event, and sets the row's version.
  public static func evolve(
    _ row: inout Self?, _ event: StreamEvent<Self>, _ recorded: Recorded
  ) {
    switch event {
    case .own(let event): evolve(&row, event, recorded)
    case .common(let event): event.apply(to: &row, recorded)
    }
    row?.version = recorded.version
  }
}

/// This release cannot read a recorded payload: the log is damaged, or a newer release wrote it.
public struct Unreadable: Error, Equatable, Sendable {
  public let reason: String

  public init(_ reason: String) { self.reason = reason }
}

extension StreamEvent {
  /// The part of an event type's name after the row type.
  public enum Kind: Equatable, Sendable {
    case own(R.Event.Kind)
    case common(CommonKind)

    public init?(_ suffix: String) {
      if let kind = R.Event.Kind(rawValue: suffix) {
        self = .own(kind)
      } else if let kind = CommonKind(rawValue: suffix), R.hasCommon(kind) {
        self = .common(kind)
      } else {
        return nil
      }
    }

    public static var all: [Kind] {
      R.Event.Kind.allCases.map(Kind.own)
        + CommonKind.allCases.filter { R.hasCommon($0) }.map(Kind.common)
    }

    /// Nil for an event that only this row type has.
    public var common: CommonKind? {
      switch self {
      case .own: nil
      case .common(let kind): kind
      }
    }

    /// Whether the row needs the payload.
    public var isRead: Bool {
      switch self {
      case .own(let kind): R.Event.isRead(kind)
      case .common: true
      }
    }

    /// `leased`.
    public var suffix: String {
      switch self {
      case .own(let kind): kind.rawValue
      case .common(let kind): kind.rawValue
      }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .own(let kind): self = .own(try R.Event(kind, from: payload))
    case .common(let kind): self = .common(try CommonEvent(kind, from: payload))
    }
  }

  /// The payload's two halves as JSON text; content is nil if it has no fields.
  public func payload() -> (data: String, content: String?) {
    var data = JSONObjectWriter()
    var content = JSONObjectWriter()
    switch self {
    case .own(let event): event.write(data: &data, content: &content)
    case .common(let event): event.write(data: &data, content: &content)
    }
    return (data.finish(), content.isEmpty ? nil : content.finish())
  }
}

extension Row {
  /// The ledger's own row is never archived or erased.
  static func hasCommon(_ kind: CommonKind) -> Bool {
    switch kind {
    case .inserted, .amended, .removed: true
    case .archived, .restored, .erased: name != .ledger
    }
  }
}
