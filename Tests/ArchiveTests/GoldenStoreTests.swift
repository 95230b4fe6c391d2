import Crypto
import Glibc
import JSON
import Ledger
import TestSupport
import Testing

@testable import Archive
@testable import Log

/// Stores as earlier releases wrote them: read for ever.
@Suite("Golden stores")
struct GoldenStoreTests {
  static let editions = [1, 2, 3]

  private static func folder(_ edition: Int) -> String { "snapshots/store-v\(edition)" }

  private static let identity = StreamID(high: 0x0198_7c50_0000_7000, low: 0x8000_0000_0000_0001)

  /// The events of an edition as a log: three an entry, with salts that anybody can compute.
  private static func events(_ edition: Int) throws -> [LoggedEvent] {
    let text = try Repository.read("snapshots/events-v\(edition).jsonl")
    let reader = JSONReader()
    return try text.split(separator: "\n").enumerated().map { number, line in
      let object = try reader.parse(String(line))
      let content = object["content"]?.stringValue
      return LoggedEvent(
        entry: Int64(number / 3 + 1), index: Int32(number % 3),
        stream: try #require(object["stream"]?.stringValue.flatMap { StreamID($0) }),
        version: try #require(object["version"]?.intValue.flatMap(Int32.init(exactly:))),
        type: try #require(object["type"]?.stringValue),
        recordedAt: try #require(object["recorded_at"]?.stringValue.flatMap { Instant($0) }),
        actor: "golden", cause: number % 5 == 0 ? 1 : nil,
        command: number % 3 == 0 ? identity : nil,
        data: try #require(object["data"]?.stringValue), content: content,
        salt: content == nil ? nil : Array(SHA256.hash("golden \(number)").bytes.prefix(16)),
        commitment: nil)
    }
  }

  /// Writes the stores that are not there yet, and never over one that is.
  @Test(
    "are written once", .enabled(if: Seeds.environment("OPS_WRITE_SNAPSHOTS") != nil),
    arguments: editions)
  func write(edition: Int) throws {
    let files = DirectoryStore(Repository.root + "/" + Self.folder(edition))
    guard try Store.open(files) == nil else { return }
    let store = try Store.begin(files, StoreRecord(identity: Self.identity, title: "golden"))
    let events = try Self.events(edition)
    let last = try #require(events.last).entry
    var before = MerkleFrontier()
    // Two segments, of several frames each.
    for entries in [1...last / 2, (last / 2 + 1)...last] {
      var text: [UInt8] = []
      for event in events where entries.contains(event.entry) { event.writeLine(to: &text) }
      let writer = try SegmentWriter(
        files, SegmentName(entries), identity: Self.identity, before: before,
        frameTextBytes: 16_384)
      try text.withUnsafeBytes { try writer.write($0) }
      before = try writer.finish().index.after
    }
    for entry in [last / 3, last] { _ = try store.makeSnapshot(SnapshotName(entry)) }
  }

  private static func store(_ edition: Int) throws -> Store {
    try Store.existing(DirectoryStore(Repository.root + "/" + folder(edition)))
  }

  @Test("are sound, and their segments fold to their snapshots", arguments: editions)
  func sound(edition: Int) throws {
    let report = try StoreVerifier(try Self.store(edition)).run()
    #expect(report.faults == [])
    #expect(report.segments == 2)
    // Where a table has gained columns since, its rows are compared by the next test.
    #expect(report.snapshots == 2)
  }

  @Test("hold the events that were recorded, by bytes", arguments: editions)
  func events(edition: Int) throws {
    let store = try Self.store(edition)
    var found: [LoggedEvent] = []
    for segment in try store.segments().segments {
      try store.reader(of: segment).lines(of: segment.name.entries) { _, event in
        found.append(LoggedEvent(event))
      }
    }
    let expected = try Self.events(edition)
    #expect(found.count == expected.count)
    for (a, b) in zip(found, expected) {
      var lines: ([UInt8], [UInt8]) = ([], [])
      a.writeLine(to: &lines.0)
      b.writeLine(to: &lines.1)
      #expect(lines.0 == lines.1)
    }
  }

  @Test("and the rows that were recorded for ever", arguments: editions)
  func rows(edition: Int) throws {
    let store = try Self.store(edition)
    let text = try Repository.read("snapshots/rows-v\(edition).json")
    let tables = try #require(try JSON(parsing: text).objectValue)
    let snapshot = try #require(try store.snapshots().snapshots.last)
    let reader = try store.reader(of: snapshot)
    for run in reader.index.runs where run.name != SnapshotIndex.gone {
      var found: [[String: String?]] = []
      try reader.lines(of: run) { line in
        let values = String(decoding: line.dropLast(), as: UTF8.self)
          .split(separator: "\t", omittingEmptySubsequences: false).map { Self.value(String($0)) }
        found.append(Dictionary(uniqueKeysWithValues: zip(run.columns, values)))
      }
      let rows = (tables[run.name]?.objectValue ?? [:]).values.map {
        ($0.objectValue ?? [:]).mapValues(\.stringValue)
      }
      #expect(Set(found.map(Self.key)) == Set(rows.map(Self.key)), "\(run.name)")
      #expect(found.count == rows.count, "\(run.name)")
    }
  }

  /// A column as a person reads it, in one spelling of times.
  private static func value(_ field: String) -> String? {
    if field == #"\N"# { return nil }
    var (text, escaped) = ("", false)
    for scalar in field.unicodeScalars {
      if escaped {
        let letters: [Unicode.Scalar: Unicode.Scalar] = [
          "n": "\n", "t": "\t", "r": "\r", "b": "\u{8}", "f": "\u{c}", "v": "\u{b}",
        ]
        text.unicodeScalars.append(letters[scalar] ?? scalar)
        escaped = false
      } else if scalar == "\\" {
        escaped = true
      } else {
        text.unicodeScalars.append(scalar)
      }
    }
    guard text.hasSuffix("+00"), let time = Instant(text) else { return text }
    return time.description
  }

  private static func key(_ row: [String: String?]) -> String {
    row.sorted { $0.key < $1.key }.map { "\($0.key)=\(($0.value ?? "NULL").utf8.map(Int.init))" }
      .joined(separator: " ")
  }

  @Test("a format that is not known is refused by its number, and nothing is damaged")
  func unknownFormats() throws {
    let golden = try Self.store(1)
    let files = MemoryStore()
    for file in try golden.files.list("") {
      files[file.name] = try golden.files.read(file.name, nil)
    }
    let store = try Store.existing(files)
    let names = [
      try #require(try store.segments().segments.last).name.path,
      try #require(try store.snapshots().snapshots.last).name.path,
    ]
    for name in names {
      let sound = try #require(files[name])
      var bytes = sound
      // The last byte of the format: before the end's eight.
      bytes[bytes.count - 9] = 9
      files[name] = bytes
      let faults = try StoreVerifier(store).run().faults
      #expect(faults.contains { $0.contains(name) && $0.contains("format 9") }, "\(faults)")
      #expect(!faults.contains { $0.contains("damaged") }, "\(faults)")
      files[name] = sound
    }
    let record = String(decoding: try #require(files[StoreRecord.name]), as: UTF8.self)
    files[StoreRecord.name] = Array(record.replacing("\"format\": 1", with: "\"format\": 7").utf8)
    let error = #expect(throws: OpsError.self) { try Store.existing(files) }
    #expect(error?.store?.kind == .newerFormat && error?.message.contains("format 7") ?? false)
  }

  static let hashes = [
    "snapshots/store-v1/ledger.json":
      "93d50a6396aa5bdc1a714250f246af87c3be236fa871eba875e1473b5f43cd53",
    "snapshots/store-v1/segments/00000000000000000001-00000000000000000049.lz4":
      "b818ed19ae503de68ff075863052565c8d0795ed0ec22b7ff8f7c2199306ed7a",
    "snapshots/store-v1/segments/00000000000000000050-00000000000000000098.lz4":
      "fa7b539a00569334fdc8e6c3cb426019c83e68ea03c22d6ff70c35f80c54f013",
    "snapshots/store-v1/snapshots/00000000000000000032.lz4":
      "f0a469cfcc2e146581d1cd5134972afc70beb3e109ce966470ec0bd57667f986",
    "snapshots/store-v1/snapshots/00000000000000000098.lz4":
      "7ca4640dbdf86321b1420097956d902268edb031dc035e37f7ccca19025f2b0a",
    "snapshots/store-v2/ledger.json":
      "93d50a6396aa5bdc1a714250f246af87c3be236fa871eba875e1473b5f43cd53",
    "snapshots/store-v2/segments/00000000000000000001-00000000000000000050.lz4":
      "505764112d967436e019eb90adf1cbe9b1ad218c431f28bfa6e8af5261144ca8",
    "snapshots/store-v2/segments/00000000000000000051-00000000000000000101.lz4":
      "4e64666d24c2ccc4b7ed953023fc370940d0c47c427ac5af905ede202490121a",
    "snapshots/store-v2/snapshots/00000000000000000033.lz4":
      "8f95dddb2678f17917eb1c947f3df6898fbbd9860212e21a1cacd3c1fb604d6b",
    "snapshots/store-v2/snapshots/00000000000000000101.lz4":
      "2213c5ba82f129da723602a429cdb87348e71c0d62bbc9a23fe025640a61bfc9",
    "snapshots/store-v3/ledger.json":
      "93d50a6396aa5bdc1a714250f246af87c3be236fa871eba875e1473b5f43cd53",
    "snapshots/store-v3/segments/00000000000000000001-00000000000000000054.lz4":
      "75fd733a91ccbd9b925524ebc8b7a8a67b24b8fb98861c4b2528ce01ad502ad8",
    "snapshots/store-v3/segments/00000000000000000055-00000000000000000108.lz4":
      "bde3cc5fa494fb98a4b121b52b6d8f86c4f860da366aa45ad4f1cd06b80bcd79",
    "snapshots/store-v3/snapshots/00000000000000000036.lz4":
      "eae240bcb2a43d85c27176a9a3ff57077feb8875db2c6df09abbf62f22ed0108",
    "snapshots/store-v3/snapshots/00000000000000000108.lz4":
      "5ce4d73bde27afed12df49f20d6a4359f1668f1a6a08f6fccf605bb4a4e942d3",
  ]

  @Test("are what they were on the day they were made", arguments: editions)
  func unchanged(edition: Int) throws {
    let files = DirectoryStore(Repository.root + "/" + Self.folder(edition))
    let found = try files.list("")
    #expect(found.count == 5)
    for file in found {
      let hash = SHA256.hash(try files.read(file.name, nil)).hex
      let path = "\(Self.folder(edition))/\(file.name)"
      #expect(hash == Self.hashes[path], "\(path) may never change; its SHA-256 is now \(hash)")
    }
  }
}
