/// One command while it is decided: the rows that it loaded, the events that it records, and the rows that these make.
/// It becomes one entry of the log, or nothing.
public struct Draft: Sendable {
  /// The entry's time, from the database's clock.
  public let at: Instant
  public var ids: IDSource
  /// Whether the computed keys of runs and of the loop's own agent events get a random end, since a row with one of
  /// these keys exists.
  public var avoidsTakenKeys = false
  public private(set) var events: [DraftedEvent] = []

  public var agentEvents = DraftTable<AgentEvent>()
  public var reactions = DraftTable<Reaction>()
  public var proposals = DraftTable<Proposal>()
  public var missions = DraftTable<Mission>()
  public var steps = DraftTable<Step>()
  public var runs = DraftTable<Run>()
  public var policies = DraftTable<Policy>()
  public var radar = DraftTable<Radar>()
  public var holds = DraftTable<Hold>()
  public var ledger = DraftTable<LedgerRecord>()

  public init(at instant: Instant, ids: IDSource) {
    at = instant
    self.ids = ids
  }

  public mutating func newID() -> StreamID { ids.next(at: at) }

  mutating func free(_ key: String) -> String { avoidsTakenKeys ? "\(key):\(newID())" : key }

  /// Adds a row that the command read under a lock.
  ///
  /// - Throws: `OPS_016` for a version that no history can give.
  public mutating func load<R: Row>(_ row: R, as stream: StreamID) throws(OpsError) {
    guard (1...Self.versionMax).contains(row.version) else {
      throw OpsError(
        .inconsistentRow, "\(R.table) \(stream) has the impossible version \(row.version)",
        hint: "see `opsledger verify`; `opsledger rebuild` repairs it",
        facts: ["table": R.table, "row": stream.description])
    }
    self[keyPath: R.drafted].load(row, as: stream)
  }

  /// Adds the tombstone of a row. A new row of this stream continues from its version.
  ///
  /// - Throws: `OPS_016` for a version that no history can give.
  public mutating func load<R: Row>(
    tombstone version: Int32, of type: R.Type = R.self, as stream: StreamID
  ) throws(OpsError) {
    guard (0...Self.versionMax).contains(version) else {
      throw OpsError(
        .inconsistentRow,
        "the tombstone of \(R.table) \(stream) has the impossible version \(version)",
        hint: "see `opsledger verify`", facts: ["table": R.table, "row": stream.description])
    }
    self[keyPath: R.drafted].load(tombstone: version, as: stream)
  }

  /// More than any history has, and small enough to continue from.
  public static let versionMax: Int32 = 2_000_000_000

  /// The row after the events so far.
  public func row<R: Row>(_ stream: StreamID, of type: R.Type = R.self) -> R? {
    self[keyPath: R.drafted].row(stream)
  }

  /// Records one event and folds it into its row.
  ///
  /// - Parameter cause: The entry that caused the event.
  public mutating func append<R: Row>(
    _ event: R.Event, of type: R.Type = R.self, to stream: StreamID, cause: Int64? = nil
  ) {
    append(StreamEvent<R>.own(event), to: stream, cause: cause)
  }

  public mutating func append<R: Row>(
    _ event: StreamEvent<R>, to stream: StreamID, cause: Int64? = nil
  ) {
    let version = self[keyPath: R.drafted].fold(event, stream, at)
    events.append(DraftedEvent(event, of: stream, version: version, cause: cause))
  }
}

/// An event as the log has it, without its entry.
public struct DraftedEvent: Sendable {
  public let stream: StreamID
  public let version: Int32
  public let type: String
  public let data: String
  public let content: String?
  public let cause: Int64?

  public init<R: Row>(
    _ event: StreamEvent<R>, of stream: StreamID, version: Int32, cause: Int64? = nil
  ) {
    self.stream = stream
    self.version = version
    type = event.type
    (data, content) = event.payload()
    self.cause = cause
  }
}

/// The path of a row type's table in a draft.
public typealias DraftPath<R: Row> = WritableKeyPath<Draft, DraftTable<R>> & Sendable

/// The rows of one row type that a command loaded or made.
public struct DraftTable<R: Row>: Sendable {
  public struct Slot: Sendable {
    public let stream: StreamID
    /// The loaded row; nil for a new row.
    public let original: R?
    public fileprivate(set) var current: R?
    fileprivate var version: Int32
  }

  /// In the order in which the command used them.
  public private(set) var slots: [Slot] = []
  private var places: [StreamID: Int] = [:]

  public init() {}

  public var isEmpty: Bool { slots.isEmpty }

  /// The row after the events so far.
  func row(_ stream: StreamID) -> R? { places[stream].flatMap { slots[$0].current } }

  mutating func load(_ row: R, as stream: StreamID) {
    add(Slot(stream: stream, original: row, current: row, version: row.version))
  }

  mutating func load(tombstone version: Int32, as stream: StreamID) {
    add(Slot(stream: stream, original: nil, current: nil, version: version))
  }

  private mutating func add(_ slot: Slot) {
    guard places[slot.stream] == nil else { return }
    places[slot.stream] = slots.count
    slots.append(slot)
  }

  mutating func fold(_ event: StreamEvent<R>, _ stream: StreamID, _ at: Instant) -> Int32 {
    let place = places[stream] ?? slots.count
    if place == slots.count {
      add(Slot(stream: stream, original: nil, current: nil, version: 0))
    }
    // In place: a copy of a row is some hundred bytes, with a dozen reference counts.
    slots[place].version += 1
    let version = slots[place].version
    R.evolve(&slots[place].current, event, Recorded(stream: stream, version: version, at: at))
    return version
  }

  /// The rows after the events so far, in the order in which the command used them.
  public var rows: [(stream: StreamID, row: R)] {
    slots.compactMap { slot in slot.current.map { (slot.stream, $0) } }
  }
}
