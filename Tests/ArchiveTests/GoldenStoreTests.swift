import Crypto
import Glibc
import JSON
import Ledger
import Replay
import TestSupport
import Testing

@testable import Archive
@testable import Log

/// Stores as earlier releases wrote them: read for ever.
@Suite("Golden stores")
struct GoldenStoreTests {
  private static let identity = StreamID(high: 0x0198_7c50_0000_7000, low: 0x8000_0000_0000_0001)

  /// The events of an edition as a log: three an entry, with salts that anybody can compute.
  private static func events(_ edition: Int) throws -> [LoggedEvent] {
    let text = try Repository.read(GoldenFiles.events(edition))
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

  /// From the events of the same edition, and never over a store that is there.
  @Test("are written once", .enabled(if: GoldenFiles.written != nil))
  func write() throws {
    let edition = try #require(GoldenFiles.written)
    let files = DirectoryStore(Repository.root + "/" + GoldenFiles.store(edition))
    guard try Store.open(files) == nil else { return }
    _ = try Store.begin(files, StoreRecord(identity: Self.identity, title: "golden"))
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
    for entry in [last / 3, last] { try Self.makeSnapshot(at: entry, of: events, in: files) }
  }

  /// The rows are the fold of the events.
  private static func makeSnapshot(
    at entry: Int64, of events: [LoggedEvent], in files: DirectoryStore
  ) throws {
    var text: [UInt8] = []
    for event in events where event.entry <= entry { event.writeLine(to: &text) }
    let (fold, reader) = (LineFold(slice: 0, of: 1), EventLineReader())
    let (leaves, hasher) = (LeafHasher(), TreeHasher())
    var (tree, last) = (MerkleFrontier(), Digest.zero)
    try text.withUnsafeBytes { text in
      try SegmentFrameMaker.eachLine(of: text) { line in
        let event = try reader.read(line)
        last = try leaves.leaf(of: event)
        tree.append(last, hasher)
        fold.take(event)
      }
    }
    let writer = try SnapshotWriter(files, SnapshotName(entry), identity: identity)
    try writer.writeRuns { (rowType, body) throws(OpsError) in
      try body(fold.rows(of: rowType, pieceBytes: SnapshotWriter.frameTextBytes))
    }
    _ = try writer.finish(size: tree.size, root: tree.root(hasher), lastLeaf: last)
  }

  private static func store(_ edition: Int) throws -> Store {
    try Store.existing(DirectoryStore(Repository.root + "/" + GoldenFiles.store(edition)))
  }

  @Test("are sound, and their segments fold to their snapshots", arguments: GoldenFiles.editions)
  func sound(edition: Int) throws {
    let report = try StoreVerifier(try Self.store(edition)).run()
    #expect(report.faults == [])
    #expect(report.segments == 2)
    // Where a table has gained columns since, its rows are compared by the next test.
    #expect(report.snapshots == 2)
  }

  @Test("hold the events that were recorded, by bytes", arguments: GoldenFiles.editions)
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

  @Test("and the rows that were recorded for ever", arguments: GoldenFiles.editions)
  func rows(edition: Int) throws {
    let store = try Self.store(edition)
    let text = try Repository.read(GoldenFiles.rows(edition))
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

  @Test(
    "all golden files are what they were on the day they were made, and each edition has all of them"
  )
  func unchanged() throws {
    let files = DirectoryStore(Repository.root + "/snapshots")
    var found: [String: String] = [:]
    for file in try files.list("") where !["README.md", "SHA256SUMS"].contains(file.name) {
      found[file.name] = SHA256.hash(try files.read(file.name, nil)).hex
    }
    #expect(
      found == GoldenFiles.hashes,
      "golden files may never change: add an edition (snapshots/README.md)")
    for edition in GoldenFiles.editions {
      let own = found.keys.filter { $0.contains("-v\(edition).") || $0.contains("-v\(edition)/") }
      #expect(own.count == 7, "events, rows, and a store of five files: \(own.sorted())")
    }
    #expect(!GoldenFiles.editions.isEmpty)
  }
}
