import JSON
import Ledger
import TestSupport
import Testing

/// What was recorded must fold to the same rows for ever, whatever becomes of the code.
@Suite("Golden files")
struct GoldenTests {
  /// Never over files that are there.
  @Test("fixed histories are written once", .enabled(if: GoldenFiles.written != nil))
  func write() throws {
    let edition = try #require(GoldenFiles.written)
    let golden = try Golden.fixed()
    try Repository.create(GoldenFiles.events(edition), golden.text)
    try Repository.create(GoldenFiles.rows(edition), Golden.text(of: golden.rows()))
  }

  /// Columns that a table has gained since are not looked at.
  @Test("the recorded events fold to the recorded rows, by bytes", arguments: GoldenFiles.editions)
  func replay(edition: Int) throws {
    let expected = try Golden.parse(rows: Repository.read(GoldenFiles.rows(edition)))
    let found = try Golden(edition: edition).rows()
    #expect(Set(found.keys) == Set(expected.keys))
    for (table, rows) in expected {
      #expect(found[table].map { Set($0.keys) } == Set(rows.keys), "\(table)")
      for (stream, row) in rows {
        let other = found[table]?[stream] ?? [:]
        #expect(Set(other.keys).isSuperset(of: row.keys), "\(table) \(stream)")
        for (column, value) in row {
          let value = value.map { Array($0.utf8) }
          let again = (other[column] ?? nil).map { Array($0.utf8) }
          #expect(value == again, "\(table) \(stream) \(column)")
        }
      }
    }
  }

  @Test("they hold every type that there is")
  func complete() throws {
    let recorded = try GoldenFiles.editions.flatMap { try Golden(edition: $0).lines.map(\.type) }
    let types = Set(RowType.allCases.flatMap { $0.sampled.types })
    #expect(
      types.subtracting(recorded) == [],
      "A new type comes with a new edition of these files, never with a change of one.")
  }

  @Test("their versions have no gap", arguments: GoldenFiles.editions)
  func versions(edition: Int) throws {
    var versions: [StreamID: Int32] = [:]
    for line in try Golden(edition: edition).lines {
      versions[line.stream, default: 0] += 1
      #expect(versions[line.stream] == line.version)
    }
  }
}
