import JSON
import Ledger
import TestSupport
import Testing

/// What was recorded must fold to the same rows for ever, whatever becomes of the code.
@Suite("Golden files")
struct GoldenTests {
  /// Writes the last edition where it is not there yet, and never over one that is.
  @Test(
    "fixed histories are written once",
    .enabled(if: Seeds.environment("OPS_WRITE_SNAPSHOTS") != nil))
  func write() throws {
    let edition = try #require(Golden.editions.last)
    let golden = try Golden.fixed()
    try Repository.create(Golden.eventsPath(edition), golden.text)
    try Repository.create(Golden.rowsPath(edition), Golden.text(of: golden.rows()))
  }

  /// Columns that a table has gained since are not looked at.
  @Test("the recorded events fold to the recorded rows, by bytes", arguments: Golden.editions)
  func replay(edition: Int) throws {
    let expected = try Golden.parse(rows: Repository.read(Golden.rowsPath(edition)))
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
    let recorded = try Golden.editions.flatMap { try Golden(edition: $0).lines.map(\.type) }
    let types = Set(NounName.allCases.flatMap { $0.sampled.types })
    #expect(
      types.subtracting(recorded) == [],
      "A new type comes with a new edition of these files, never with a change of one.")
  }

  @Test("their versions have no gap", arguments: Golden.editions)
  func versions(edition: Int) throws {
    var versions: [StreamID: Int32] = [:]
    for line in try Golden(edition: edition).lines {
      versions[line.stream, default: 0] += 1
      #expect(versions[line.stream] == line.version)
    }
  }

  static let hashes: [String: UInt64] = [
    Golden.eventsPath(1): 0xe2b3_20cf_5d7f_1a97,
    Golden.rowsPath(1): 0x22ea_4256_dc41_3cbd,
    Golden.eventsPath(2): 0x2009_4184_252c_3199,
    Golden.rowsPath(2): 0x2e9f_4176_e592_9577,
    Golden.eventsPath(3): 0xc342_a652_476f_e8b6,
    Golden.eventsPath(4): 0x323a_3329_206b_c9db,
    Golden.rowsPath(4): 0xd1ae_1fbf_2ab6_aae6,
    Golden.rowsPath(3): 0x34a0_4266_c61d_1412,
  ]

  @Test("they are what they were on the day they were made", arguments: Golden.editions)
  func unchanged(edition: Int) throws {
    for path in [Golden.eventsPath(edition), Golden.rowsPath(edition)] {
      // FNV-1a: against accidents, not against malice.
      var hash: UInt64 = 0xcbf2_9ce4_8422_2325
      for byte in try Repository.read(path).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
      #expect(hash == Self.hashes[path], "\(path) may never change; its hash is now \(hash)")
    }
  }
}
