import JSON
import Ledger
import TestSupport
import Testing

/// An erasure reaches what the event types declare: nothing that an event names is left out of the declaration, and SQL
/// has the same list.
@Suite("What events name")
struct StreamLinkTests {
  @Test("every id in a payload is declared, and no other is", arguments: RowType.allCases)
  func ids(rowType: RowType) throws { try checkIDs(rowType.sampled) }

  private func checkIDs<R: Sampled>(_: R.Type) throws {
    for kind in R.Event.Kind.allCases {
      var found: Set<[String]> = []
      for seed in 0..<40 as Range<UInt64> {
        var generator = Generator(seed: seed)
        generator.isFull = seed == 0
        let payload = StreamEvent<R>.own(R.sample(kind, &generator)).payload()
        Self.collectIDs(try JSON(parsing: payload.data), [], &found)
      }
      let declared = StreamEvent<R>.links(.own(kind)).filter { $0.part == .data }.map(\.path)
      #expect(found.subtracting(Self.noStreams) == Set(declared), "\(R.name) \(kind)")
    }
  }

  /// Ids that are of no row.
  private static let noStreams: Set<[String]> = [["vote_id"], ["identity"]]

  private static func collectIDs(_ value: JSON, _ path: [String], _ found: inout Set<[String]>) {
    if let text = value.stringValue, StreamID(text) != nil { found.insert(path) }
    for element in value.arrayValue ?? [] { collectIDs(element, path, &found) }
    for (name, member) in value.objectValue ?? [:] { collectIDs(member, path + [name], &found) }
  }

  @Test("every column that names a row is declared", arguments: RowType.allCases)
  func columns(rowType: RowType) { checkColumns(rowType.type) }

  private func checkColumns<R: Row>(_: R.Type) {
    let ids = R.columns.dropFirst().filter { $0.type == .uuid && $0.name != "identity" }.map(\.name)
    let declared = R.columnLinks.filter { $0.path.count == 1 }.flatMap(\.path)
    #expect(declared.sorted() == ids.sorted(), "\(R.name)")
  }

  @Test("ledger.copies_of follows the links that copy, and no others")
  func sql() throws {
    let file = try Repository.read("schema/functions/store/copies_of.sql").split(separator: "\n")
    let lines = file.map { String($0.drop { $0 == " " }) }
    let first = try #require(lines.firstIndex { $0.hasPrefix("WITH RECURSIVE links") }) + 1
    let last = try #require(lines[first...].firstIndex { $0.hasPrefix("), ") })
    let found = lines[first..<last].filter { !$0.hasPrefix("--") }
    let declared = StreamLink.all.flatMap { type, links in
      links.filter { $0.copy != .none }.map { link in
        "('\(type)', '\(link.part)', '{\(link.path.joined(separator: ","))}', '\(link.rowType.rawValue)', "
          + "'\(link.copy.rawValue)', \(link.isOrigin), '\(link.meaning.rawValue)', '\(link.ofType)')"
      }
    }
    let expected = declared.dropLast().map { $0 + "," } + declared.suffix(1)
    #expect(found == Array(expected), "the list is to be:\n\(expected.joined(separator: "\n"))")
  }
}
