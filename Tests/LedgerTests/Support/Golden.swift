import JSON
import Ledger
import TestSupport
import Testing

/// Recorded events as files under `snapshots/` keep them, and the rows that they must fold to.
struct Golden {
  struct Line {
    let stream: StreamID
    let version: Int32
    let type: String
    let at: Instant
    let data: String
    let content: String?
  }

  /// By table, then by stream: the columns as a person reads them, NULL as null.
  typealias Rows = [String: [String: [String: String?]]]

  let lines: [Line]

  init(lines: [Line]) { self.lines = lines }

  init(edition: Int) throws {
    let text = try Repository.read(GoldenFiles.events(edition))
    let reader = JSONReader()
    lines = try text.split(separator: "\n").map { line in
      let object = try reader.parse(String(line))
      return Line(
        stream: try #require(object["stream"]?.stringValue.flatMap { StreamID($0) }),
        version: try #require(object["version"]?.intValue.flatMap(Int32.init(exactly:))),
        type: try #require(object["type"]?.stringValue),
        at: try #require(object["recorded_at"]?.stringValue.flatMap { Instant($0) }),
        data: try #require(object["data"]?.stringValue), content: object["content"]?.stringValue)
    }
  }

  /// The rows that the events fold to.
  func rows() throws -> Rows {
    var rows: Rows = [:]
    for rowType in RowType.allCases { try fold(rowType.sampled, into: &rows) }
    return rows
  }

  private func fold<R: Sampled>(_: R.Type, into rows: inout Rows) throws {
    var folded: [StreamID: R?] = [:]
    for line in lines where line.type.hasPrefix(R.name.rawValue + ".") {
      let suffix = String(line.type.dropFirst(R.name.rawValue.count + 1))
      let event: StreamEvent<R> = try read(suffix, data: line.data, content: line.content)
      var row = folded[line.stream] ?? nil
      R.evolve(
        &row, event, Recorded(stream: line.stream, version: line.version, at: line.at))
      folded[line.stream] = .some(row)
    }
    for case (let stream, let row?) in folded {
      var columns: [String: String?] = [:]
      for column in R.columns { columns[column.name] = .some(column.get(row).printed) }
      rows[R.table, default: [:]][stream.description] = columns
    }
  }

  static func parse(rows text: String) throws -> Rows {
    try #require(JSON(parsing: text).objectValue).mapValues { table in
      try #require(table.objectValue).mapValues { row in
        try #require(row.objectValue).mapValues { $0.stringValue }
      }
    }
  }
}

// MARK: - Writing

extension Golden {
  /// Fixed histories of every row type: each state that its events lead to, everything that a manual change, the
  /// archive and erasure can do to it, and two streams of anything in any order.
  static func fixed() throws -> Golden {
    var lines: [Line] = []
    for rowType in RowType.allCases { try record(rowType.sampled, into: &lines) }
    return Golden(lines: lines)
  }

  private static func record<R: Sampled>(_: R.Type, into lines: inout [Line]) throws {
    var streams = R.histories.map(\.events)
    streams.append(commonHistory(R.self))
    if let full = R.histories.last?.events, R.name != .ledger {
      streams.append(try full.map { try $0.erased() } + [.common(.erased(why: nil))])
    }
    for seed in [1, 2] as [UInt64] { streams.append(anything(R.self, seed)) }
    for events in streams {
      // A stream's number is its first line's, so that no two share one.
      let stream = StreamID(
        version7At: 1_795_500_000_000, random: (UInt64(lines.count), UInt64(lines.count)))
      for (index, event) in events.enumerated() {
        let (data, content) = naming(stream, in: event).payload()
        let version = Int32(index + 1)
        lines.append(
          Line(
            stream: stream, version: version, type: event.type,
            at: Fixed.time(Int64(lines.count)).adding(milliseconds: Int64(index) * 7),
            data: data, content: content))
      }
    }
  }

  /// A row's id is its stream.
  private static func naming<R: Sampled>(
    _ stream: StreamID, in event: StreamEvent<R>
  ) -> StreamEvent<R> {
    let rename = { (values: [ColumnValue]) in
      values.map { $0.column == "id" ? ColumnValue("id", .uuid(stream)) : $0 }
    }
    return switch event {
    case .common(.inserted(let values)): .common(.inserted(rename(values)))
    case .common(.restored(let values)): .common(.restored(rename(values)))
    default: event
    }
  }

  private static func commonHistory<R: Sampled>(_: R.Type) -> [StreamEvent<R>] {
    var generator = Generator(seed: 2026)
    let columns = { (generator: inout Generator) in short { R.sampleColumns(&$0) }(&generator) }
    let amended = short { R.sample(.common(.amended), &$0) }(&generator)
    generator.isFull = true
    let all = short { R.sample(.common(.amended), &$0) }(&generator)
    let inserted = CommonEvent<R>.inserted(columns(&generator))
    guard R.name != .ledger else {
      return [.common(inserted), amended, all, .common(.removed), .common(inserted)]
    }
    return [
      .common(inserted), amended, all, .common(.archived(segment: "segments/1-9.lz4")),
      .common(.restored(columns(&generator))), .common(.removed), .common(inserted), amended,
      .common(.erased(why: nil)), amended,
      .common(.archived(segment: "segments/1-9.lz4", dedupeKey: "a key")),
    ]
  }

  private static func anything<R: Sampled>(_: R.Type, _ seed: UInt64) -> [StreamEvent<R>] {
    var generator = Generator(seed: seed)
    let others = R.Event.Kind.allCases.filter { kind in
      !R.creating.contains { $0.rawValue == kind.rawValue }
    }
    return (R.creating + others.shuffled(using: &generator)).map { kind in
      short { .own(R.sample(kind, &$0)) }(&generator)
    }
  }

  /// Of what is generated the first that a person can read.
  private static func short<T>(
    _ make: @escaping (inout Generator) -> T
  ) -> (inout Generator) -> T {
    { generator in
      while true {
        let made = make(&generator)
        if String(describing: made).utf8.count < 4_000 { return made }
      }
    }
  }

  var text: String {
    lines.map { line in
      let object: JSON = .object([
        "stream": .string(line.stream.description), "version": .int(line.version),
        "type": .string(line.type), "recorded_at": .string(line.at.description),
        "data": .string(line.data), "content": .optional(line.content),
      ])
      return object.text + "\n"
    }.joined()
  }

  /// One row a line.
  static func text(of rows: Rows) -> String {
    let tables = rows.sorted { $0.key < $1.key }.map { table, rows in
      let lines = rows.sorted { $0.key < $1.key }.map { stream, row in
        "\(JSON.string(stream).text): \(JSON.object(row.mapValues(JSON.optional)).text)"
      }
      return "\(JSON.string(table).text): {\n\(lines.joined(separator: ",\n"))\n}"
    }
    return "{\n\(tables.joined(separator: ",\n"))\n}\n"
  }
}
