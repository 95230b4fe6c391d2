public import JSON

/// The kinds of things that the ledger keeps. Each is a table, and each of its rows a stream.
///
/// Parents before children, so that a foreign key finds what it names: rows are written in this order, and removed in the
/// opposite one.
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

  /// What has one for each noun goes by this.
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

  /// Whether its rows are one of the eight tables that operators know.
  public var isOfTheEight: Bool { self != .hold && self != .ledger }
}

/// What is the same for every event of a stream: which row, its how manieth event, and when.
public struct Recorded: Equatable, Sendable {
  public let stream: StreamID
  /// 1 for a stream's first event; what the row's version is afterwards.
  public let version: Int32
  /// The database's clock when the entry's number was drawn.
  public let at: Instant

  public init(stream: StreamID, version: Int32, at: Instant) {
    self.stream = stream
    self.version = version
    self.at = at
  }
}

/// A fact about one row of one noun, besides the six that every noun has.
public protocol RowEvent: Equatable, Sendable {
  /// The part of the type's name after the noun: `leased`.
  associatedtype Kind: RawRepresentable<String> & CaseIterable & Equatable & Sendable

  var kind: Kind { get }

  /// Writes the payload: structure to `data`, what people and programs wrote to `content`.
  func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter)

  /// Whether the row needs the payload of such an event; what it does not need is not parsed.
  static func isRead(_ kind: Kind) -> Bool

  /// The fields of such an event that name other rows, and which of the two copies from the other. An erasure, and a
  /// hold on a source, reach what these say, and nothing else.
  static func links(_ kind: Kind) -> [StreamLink]

  /// Reads a payload that was recorded, perhaps years ago, perhaps erased since.
  init(_ kind: Kind, from payload: Payload) throws(Unreadable)
}

extension RowEvent {
  public static func isRead(_ kind: Kind) -> Bool { true }
}

/// A row type: the plain struct of its table's ledger columns, and the fold that makes it.
public protocol Row: Sendable {
  associatedtype Event: RowEvent

  static var name: RowType { get }
  /// The table, with its schema where that is not `public`.
  static var table: String { get }
  /// The ledger columns. The first is the primary key.
  static var columns: [Column<Self>] { get }

  /// The columns that name other rows, for the events that carry columns; see ``RowEvent/links(_:)``.
  static var columnLinks: [StreamLink] { get }

  /// Where a command keeps its rows of this noun.
  static var drafted: any WritableKeyPath<Draft, DraftTable<Self>> & Sendable { get }

  var version: Int32 { get set }

  /// A row as its table's defaults would make it: what an insert by hand starts from.
  init(blank stream: StreamID)

  /// Folds one recorded fact into the row. Judges nothing: what is recorded happened. It reads the
  /// row and the event and nothing else, so that replay gives the same row for ever.
  static func evolve(_ row: inout Self?, _ event: Event, _ recorded: Recorded)

  /// What stays of the row when its content is erased.
  mutating func eraseContent()
}

extension Row {
  /// Nullable content reads null afterwards; text `[erased]`, json `{"erased": true}`.
  public mutating func eraseContent() {
    for column in Self.columns where column.part == .content {
      _ = column.set(&self, Erased.marker(of: column.type, isNullable: column.isNullable))
    }
  }

  /// What stays of one column's value when the row's content is erased.
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

/// What is left of content that was erased.
public enum Erased {
  public static let text = "[erased]"
  public static let json = #"{"erased": true}"#

  static func marker(of type: ColumnType, isNullable: Bool) -> Value {
    if isNullable { return .null }
    return type == .json ? .json(json) : .text(text)
  }
}

/// An event of a stream: one of its noun's own, or one of the six that every noun has.
public enum StreamEvent<R: Row>: Sendable {
  case own(R.Event)
  case common(CommonEvent<R>)

  /// The full name of its type: `step.leased`.
  public var type: String {
    switch self {
    case .own(let event): R.eventType(event.kind)
    case .common(let event): R.eventType(common: event.kind)
    }
  }
}

extension Row {
  /// Folds one event, whichever it is, and sets the version that it gives the row.
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

/// A recorded payload that this release cannot read: the log was damaged, or is newer than we are.
public struct Unreadable: Error, Equatable, Sendable {
  public let reason: String

  public init(_ reason: String) { self.reason = reason }
}

extension StreamEvent {
  /// The part of a type's name after the noun, as this noun knows it.
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

    /// Every kind that this noun has.
    public static var all: [Kind] {
      R.Event.Kind.allCases.map(Kind.own)
        + CommonKind.allCases.filter { R.hasCommon($0) }.map(Kind.common)
    }

    /// Nil for one of the noun's own.
    public var common: CommonKind? {
      switch self {
      case .own: nil
      case .common(let kind): kind
      }
    }

    /// Whether the row needs the payload of such an event.
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

  /// The payload's two parts as JSON text; content is nil where there is none.
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
  /// The ledger's own row is neither archived nor erased.
  static func hasCommon(_ kind: CommonKind) -> Bool {
    switch kind {
    case .inserted, .amended, .removed: true
    case .archived, .restored, .erased: name != .ledger
    }
  }
}
