import JSON
import Ledger
import TestSupport
import Testing

/// A row type with sample events of every kind, and rows in every state that its events lead to.
protocol Sampled: Row {
  /// The kinds that make a row where there is none.
  static var creating: [Event.Kind] { get }
  /// An event of a kind; of an exhaustive switch, so that a new kind does not go untested.
  static func sample(_ kind: Event.Kind, _ generator: inout Generator) -> Event
  /// The histories that lead to each state that a row can be in.
  static var histories: [(name: String, events: [StreamEvent<Self>])] { get }
  /// The labels of columns that hold any.
  static var labels: [String: [String]] { get }
}

extension RowType {
  var sampled: any Sampled.Type {
    switch self {
    case .agentEvent: AgentEvent.self
    case .reaction: Reaction.self
    case .proposal: Proposal.self
    case .mission: Mission.self
    case .step: Step.self
    case .run: Run.self
    case .policy: Policy.self
    case .radar: Radar.self
    case .hold: Hold.self
    case .ledger: LedgerRecord.self
    }
  }
}

// MARK: - Generated events

extension Sampled {
  static func sample(
    _ kind: StreamEvent<Self>.Kind, _ generator: inout Generator
  ) -> StreamEvent<Self> {
    switch kind {
    case .own(let kind): .own(sample(kind, &generator))
    case .common(let kind): .common(sampleCommon(kind, &generator))
    }
  }

  private static func sampleCommon(
    _ kind: CommonKind, _ generator: inout Generator
  ) -> CommonEvent<Self> {
    switch kind {
    case .inserted: .inserted(sampleColumns(&generator))
    case .restored: .restored(sampleColumns(&generator))
    case .amended: .amended(sampleChanges(&generator))
    case .removed: .removed
    case .archived:
      .archived(
        segment: generator.word(), dedupeKey: generator.maybe { $0.text() },
        mission: generator.maybe { $0.id() })
    case .erased: .erased(why: generator.isFull ? "they asked for it" : nil)
    }
  }

  static func sampleColumns(_ generator: inout Generator) -> [ColumnValue] {
    columns.map { ColumnValue($0.name, sampleValue($0, &generator)) }
  }

  private static func sampleChanges(_ generator: inout Generator) -> [ColumnChange] {
    var changes: [ColumnChange] = []
    for column in columns.dropFirst() where generator.isFull || generator.below(3) == 0 {
      changes.append(
        ColumnChange(
          column.name, from: sampleValue(column, &generator), to: sampleValue(column, &generator)))
    }
    return changes
  }

  static func sampleValue(_ column: Column<Self>, _ generator: inout Generator) -> Value {
    if column.isNullable, !generator.isFull, generator.flip() { return .null }
    if let labels = labels[column.name] { return .text(generator.pick(labels)) }
    return switch column.type {
    case .int: .int(generator.int())
    case .text, .label: .text(generator.text())
    case .uuid: .uuid(generator.id())
    case .time: .time(generator.instant())
    case .json: .json(generator.mixedJSON(for: column.name))
    case .ints: .ints(generator.ints())
    }
  }
}

extension Generator {
  mutating func id() -> StreamID { StreamID(high: next(), low: next()) }

  mutating func int() -> Int32 { flip() ? Int32(below(10)) : Int32(truncatingIfNeeded: next()) }

  mutating func ints() -> [Int32] { (0..<below(4)).map { _ in int() } }

  /// From 1970 to 2106, to the microsecond: what a database's clock can have said.
  mutating func instant() -> Instant {
    Instant(micros: Int64(next() >> 12) % 4_300_000_000_000_000)
  }

  /// What a json column may hold; for one that mixes structure and content also what it should.
  mutating func mixedJSON(for column: String) -> String {
    let shaped: JSON? =
      switch column {
      case "payload":
        .object([
          "pattern_id": .string(text()), "event_type": flip() ? .null : json(depth: 2),
          "proposal_template": json(depth: 2), "note": .string(text()),
          "error": json(depth: 1), "result": flip() ? json(depth: 1) : result(),
        ])
      case "votes":
        .object(["pm": json(depth: 2)].merging([(word(), vote()), (text(), vote())]) { $1 })
      case "meta":
        .object(["kind": json(depth: 1), "retrying": .bool(flip()), "note": .string(text())])
      default: nil
      }
    guard let shaped, flip() else { return jsonText() }
    return shaped.text
  }

  private mutating func result() -> JSON {
    .object(["r_status": .string(word()), "r_reason": .string(text()), "more": json(depth: 1)])
  }

  private mutating func vote() -> JSON {
    .object(["vote": .string("approve"), "reason": .string(text()), "said": .string(text())])
  }
}

// MARK: - Folding and reading

/// The fold of a stream's events: the n-th is its version n, one second after the one before.
func fold<R: Row>(
  _ events: [StreamEvent<R>], stream: StreamID = Fixed.stream, after version: Int32 = 0
) -> R? {
  var row: R?
  for (index, event) in events.enumerated() {
    R.evolve(&row, event, Fixed.recorded(version + Int32(index) + 1, stream))
  }
  return row
}

enum Fixed {
  static let stream = StreamID(high: 0x0198_7C50_0000_7000, low: 0x8000_0000_0000_0001)

  static func id(_ number: UInt64) -> StreamID {
    StreamID(high: 0x0198_7C50_0000_7000, low: 0x8000_0000_0000_0000 | number)
  }

  /// 2026-11-24T06:00:00Z and so many seconds.
  static func time(_ seconds: Int64) -> Instant {
    Instant(micros: 1_795_500_000_000_000).adding(milliseconds: seconds * 1000)
  }

  static func recorded(_ version: Int32, _ stream: StreamID = stream) -> Recorded {
    Recorded(stream: stream, version: version, at: time(Int64(version)))
  }
}

/// Reads an event as replay does: its type's suffix, its data and its content.
func read<R: Row>(
  _ suffix: String, data: String, content: String?, as type: R.Type = R.self
) throws -> StreamEvent<R> {
  let kind = try #require(StreamEvent<R>.Kind(suffix), "\(R.name.rawValue).\(suffix)")
  let (dataReader, contentReader) = (JSONReader(), JSONReader())
  return try Array(data.utf8).withUnsafeBytes { data in
    try Array((content ?? "{}").utf8).withUnsafeBytes { content in
      try StreamEvent<R>(
        kind,
        from: Payload(
          data: try #require(dataReader.fields(data)),
          content: try #require(contentReader.fields(content))))
    }
  }
}

extension StreamEvent {
  var suffix: String {
    switch self {
    case .own(let event): event.kind.rawValue
    case .common(let event): event.kind.rawValue
    }
  }

  /// The event as it is read back from what it was recorded as.
  func reread() throws -> StreamEvent {
    let (data, content) = payload()
    return try read(suffix, data: data, content: content)
  }

  /// The event as it is read once its content is erased: every value null, every name still there.
  func erased() throws -> StreamEvent {
    let (data, content) = payload()
    return try read(suffix, data: data, content: try content.map(erasing))
  }
}

func erasing(_ content: String) throws -> String {
  let members = try #require(JSON(parsing: content).objectValue)
  return JSON.object(members.mapValues { _ in .null }).text
}

// MARK: - Comparing

/// The columns in which two rows differ, by bytes; empty where they are the same row.
func differences<R: Row>(_ a: R?, _ b: R?) -> [String] {
  guard let a, let b else { return a == nil && b == nil ? [] : ["one of the rows is missing"] }
  return R.columns.filter { !$0.get(a).same(as: $0.get(b)) }.map {
    "\($0.name): \($0.get(a).printed ?? "NULL") ≠ \($0.get(b).printed ?? "NULL")"
  }
}

/// The row with some of its columns set.
func setting<R: Row>(_ values: [String: Value], in row: R) throws -> R {
  var row = row
  for (name, value) in values {
    let column = try #require(R.column(named: name), "\(name)")
    #expect(column.set(&row, value), "\(name) cannot be \(value)")
  }
  return row
}
