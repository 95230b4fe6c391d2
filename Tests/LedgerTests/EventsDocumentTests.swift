import JSON
import Ledger
import TestSupport
import Testing

@Suite("docs/events.md says what the code does")
struct EventsDocumentTests {
  private let document: EventsDocument

  init() throws { document = try EventsDocument(Repository.read("docs/events.md")) }

  @Test("it names every type that there is, once, and no other")
  func types() {
    let own = RowType.allCases.flatMap { rowType in rowType.sampled.ownTypes }
    let common = RowType.mission.sampled.commonSuffixes.map { "*." + $0 }
    #expect(document.types.map(\.name).sorted() == (own + common).sorted())
  }

  @Test("it names every field that a type writes, and no other", arguments: RowType.allCases)
  func fields(rowType: RowType) throws {
    try checkFields(rowType.sampled)
  }

  private func checkFields<R: Sampled>(_: R.Type) throws {
    for kind in StreamEvent<R>.Kind.all {
      let type = try #require(document.type(R.self, kind))
      var (data, content) = (Set<String>(), Set<String>())
      var (alwaysData, alwaysContent): (Set<String>?, Set<String>?)
      for seed in 0..<40 as Range<UInt64> {
        var generator = Generator(seed: seed)
        generator.isFull = seed == 0
        let payload = R.sample(kind, &generator).payload()
        let (inData, inContent) = (
          Set(try fieldNames(payload.data)), Set(try fieldNames(payload.content ?? "{}"))
        )
        data.formUnion(inData)
        content.formUnion(inContent)
        alwaysData = alwaysData?.intersection(inData) ?? inData
        alwaysContent = alwaysContent?.intersection(inContent) ?? inContent
      }
      #expect(type.data.names == data, "data of \(type.name)")
      #expect(type.data.optional == data.subtracting(alwaysData ?? []), "optional: \(type.name)")
      if case .common = kind { continue }
      #expect(type.content.names == content, "content of \(type.name)")
      #expect(
        type.content.optional == content.subtracting(alwaysContent ?? []), "optional: \(type.name)")
    }
  }

  @Test("it names every column that a type sets, and no other", arguments: RowType.allCases)
  func columns(rowType: RowType) throws {
    try checkColumns(rowType.sampled)
  }

  /// What a type sets is what changes, over rows in every state and with anything in them.
  private func checkColumns<R: Sampled>(_: R.Type) throws {
    for kind in R.Event.Kind.allCases {
      let type = try #require(document.type(R.self, .own(kind)))
      let isCreating = R.creating.contains { $0.rawValue == kind.rawValue }
      var changed = Set<String>()
      for seed in 0..<200 as Range<UInt64> {
        var generator = Generator(seed: seed)
        generator.isFull = generator.flip()
        let values = R.sampleColumns(&generator)
        let start =
          isCreating && R.name != .policy
          ? R(blank: Fixed.stream) : fold([StreamEvent<R>.common(.inserted(values))])
        var row = start
        R.evolve(&row, .own(R.sample(kind, &generator)), Fixed.recorded(1_000_000_000))
        for column in R.columns {
          guard let start, let row, !column.get(start).same(as: column.get(row)) else { continue }
          changed.insert(column.name)
        }
      }
      // Columns that a new row has anyway.
      let defaults: Set<String> = isCreating ? ["status", "stage"] : []
      let named = type.sets.intersection(R.columns.map(\.name))
      #expect(
        named.subtracting(defaults) == changed.subtracting(defaults.union(["version"])),
        "\(type.name)")
    }
  }

  @Test("it names every column of content with its marker, and every one that is mixed")
  func content() {
    var content: Set<String> = []
    var mixed: Set<String> = []
    for rowType in RowType.allCases { rowType.sampled.collectContent(&content, &mixed) }
    #expect(Set(document.contentColumns) == content)
    #expect(Set(document.mixedColumns) == mixed)
  }

  @Test("its sections are the row types, and each names its table")
  func sections() {
    for rowType in RowType.allCases {
      #expect(document.sections[rowType.rawValue]?.contains("`\(rowType.sampled.table)`") == true)
    }
  }
}

extension Sampled {
  static var ownTypes: [String] { Event.Kind.allCases.map { name.rawValue + "." + $0.rawValue } }

  static var commonSuffixes: [String] {
    StreamEvent<Self>.Kind.all.compactMap { kind in
      if case .common(let common) = kind { common.rawValue } else { nil }
    }
  }

  fileprivate static func collectContent(_ content: inout Set<String>, _ mixed: inout Set<String>) {
    for column in columns {
      switch column.part {
      case .data: break
      case .mixed: mixed.insert("\(table).\(column.name)")
      case .content:
        let marker = column.isNullable ? "NULL" : column.type == .json ? Erased.json : Erased.text
        content.insert("\(table).\(column.name) \(marker)")
      }
    }
  }
}

/// The tables of docs/events.md.
private struct EventsDocument {
  struct Fields {
    var names: Set<String> = []
    var optional: Set<String> = []
  }

  struct EventType {
    let name: String
    let data: Fields
    let content: Fields
    /// Everything in code font in the last column: columns, and some labels and fields.
    let sets: Set<String>
  }

  private static let tables = Set(RowType.allCases.map { $0.sampled.table })

  private(set) var types: [EventType] = []
  private(set) var contentColumns: [String] = []
  private(set) var mixedColumns: [String] = []
  /// The text of each second-level section, by its title.
  private(set) var sections: [String: String] = [:]

  init(_ text: String) {
    var title = ""
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("## ") { title = String(line.dropFirst(3)) }
      sections[title, default: ""] += line + "\n"
      guard line.hasPrefix("| `") else { continue }
      let cells = line.split(separator: "|", omittingEmptySubsequences: false)
        .dropFirst().dropLast().map(String.init)
      let names = cells.map { Self.code($0).map(\.text) }
      if names[0].first?.contains(".") == true, cells.count == 4 {
        types.append(
          EventType(
            name: names[0][0], data: Self.fields(cells[1]), content: Self.fields(cells[2]),
            sets: Set(names[3])))
      } else if let table = names[0].first, Self.tables.contains(table) {
        let column = "\(names[0][0]).\(names[1][0])"
        if cells.count == 3 {
          contentColumns.append(column + " " + (names[2].first ?? "NULL"))
        } else {
          mixedColumns.append(column)
        }
      }
    }
  }

  func type<R: Sampled>(_: R.Type, _ kind: StreamEvent<R>.Kind) -> EventType? {
    let rowType =
      switch kind {
      case .own: R.name.rawValue
      case .common: "*"
      }
    return types.first { $0.name == rowType + "." + kind.suffix }
  }

  private static func fields(_ cell: String) -> Fields {
    var fields = Fields()
    for (name, isOptional) in code(cell) {
      fields.names.insert(name)
      if isOptional { fields.optional.insert(name) }
    }
    return fields
  }

  /// What stands in code font, and whether a question mark follows it.
  private static func code(_ cell: String) -> [(text: String, isOptional: Bool)] {
    let parts = cell.split(separator: "`", omittingEmptySubsequences: false)
    return parts.indices.filter { $0 % 2 == 1 }.map { index in
      (String(parts[index]), index + 1 < parts.count && parts[index + 1].hasPrefix("?"))
    }
  }
}
