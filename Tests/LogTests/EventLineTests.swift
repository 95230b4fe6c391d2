import Crypto
import Ledger
import OpsLoop
import Postgres
import TestLedgers
import TestSupport
import Testing

@testable import Log

extension Generator {
  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  mutating func id() -> StreamID { StreamID(high: next(), low: next()) }

  /// An event of anything that the log's table can hold.
  mutating func loggedEvent(entry: Int64) -> LoggedEvent {
    let content = maybe { $0.spaced($0.jsonText()) }
    let isErased = content != nil && flip()
    let second = Int64(below(4_000_000_000))
    // Most fractions end in zeros, as most of all clocks' do not.
    let scale: Int64 = pick([1, 10, 1000, 1_000_000])
    return LoggedEvent(
      entry: entry, index: Int32(below(1000)), stream: id(), version: Int32(1 + below(1000)),
      type: text(),
      recordedAt: Instant(micros: second * 1_000_000 + Int64(below(1_000_000)) / scale * scale),
      actor: text(), cause: maybe { Int64(bitPattern: $0.next()) >> Int64($0.below(64)) },
      command: maybe { $0.id() }, data: spaced(jsonText()),
      content: isErased ? #"{"a": null, "é": null}"# : content,
      salt: content == nil || isErased ? nil : bytes(16), commitment: isErased ? bytes(32) : nil)
  }

  /// Space around a document stays as it was written.
  private mutating func spaced(_ json: String) -> String {
    pick(["", "", "\t", "\r\n ", " "]) + json + pick(["", "", "\n", "\t \r"])
  }
}

/// What an event looks like for a comparison: the line, and the leaf in hex.
private struct Line: Equatable {
  let text: String
  let leaf: String
}

@Suite("Lines of events", .needsServer)
struct EventLineServerTests {
  /// The leaf in SQL, by the design's words and nothing of ours.
  static let leaf = """
    encode(sha256('\\x00'::bytea || convert_to(E'opsledger/event/v1\\n', 'UTF8')
      || int8send(entry) || int4send(index) || uuid_send(stream) || int4send(version)
      || int8send((extract(epoch FROM recorded_at) * 1000000)::bigint)
      || substr(int4send(octet_length(type)), 3) || convert_to(type, 'UTF8')
      || substr(int4send(octet_length(actor)), 3) || convert_to(actor, 'UTF8')
      || int8send(coalesce(cause, 0))
      || coalesce(uuid_send(command), decode(repeat('00', 16), 'hex'))
      || sha256(convert_to(data::text, 'UTF8'))
      || coalesce(commitment, sha256(salt || convert_to(content::text, 'UTF8')), decode(repeat('00', 32), 'hex'))), 'hex')
    """

  @Test(
    "are written and read as the server writes and reads them, and have the leaf that SQL computes",
    arguments: Seeds.some(1))
  func server(seed: UInt64) throws {
    var generator = Generator(seed: seed)
    let events = (1...2000).map { generator.loggedEvent(entry: $0) }
    var written: [UInt8] = []
    for event in events { event.writeLine(to: &written) }
    try TestLedger.withEmptyDatabase { ledger in
      let connection = try Connection(url: ledger.adminURL)
      defer { connection.close() }
      try connection.execute(
        """
        SET TimeZone = 'UTC';
        CREATE TABLE events (entry bigint, index integer, stream uuid, version integer, type text,
          recorded_at timestamptz, actor text, cause bigint, command uuid, data json, content json,
          salt bytea, commitment bytea)
        """)
      let copy = try connection.copyIn("COPY events FROM STDIN")
      try written.withUnsafeBytes { try copy.raw($0) }
      #expect(try copy.finish() == events.count)

      let rows = try connection.query(
        Statement("SELECT \(LoggedEvent.columns) FROM events AS e ORDER BY entry"))
      #expect(try rows.events() == events)

      let leaves = try connection.query(Statement("SELECT \(Self.leaf) FROM events ORDER BY entry"))
      let (reader, hasher) = (EventLineReader(), LeafHasher())
      var number = 0
      let lines = try connection.copyReader("COPY (SELECT * FROM events ORDER BY entry) TO STDOUT")
      while let bytes = try lines.nextRaw() {
        let line = try reader.read(bytes)
        #expect(try hasher.leaf(of: line).hex == leaves.text(number, 0))
        let event = LoggedEvent(line)
        #expect(event == events[number])
        #expect(try hasher.leaf(of: event).hex == leaves.text(number, 0))
        var again: [UInt8] = []
        event.writeLine(to: &again)
        #expect(again == Array(bytes))
        number += 1
      }
      #expect(number == events.count)
    }
  }
}

@Suite("A line of an event")
struct EventLineTests {
  static let line =
    "7\t0\t01987c50-0000-7000-8000-000000000007\t1\tstep.created\t2026-11-24 18:46:22.123456+00\tcli/ann@host\t5\t"
    + #"01987c50-0000-7000-8000-000000000008"# + "\t"
    + #"{"a": "\\n"}"# + "\t" + #"{"b": 1}"# + "\t" + #"\\x000102030405060708090a0b0c0d0e0f"#
    + "\t\\N\n"

  static func read(_ line: String) throws -> LoggedEvent {
    let reader = EventLineReader()
    return try Array(line.utf8).withUnsafeBytes { LoggedEvent(try reader.read($0)) }
  }

  /// The line with another value in a column.
  static func with(_ column: Int, _ value: String) -> String {
    var columns = line.dropLast().split(separator: "\t", omittingEmptySubsequences: false)
    columns[column] = value[...]
    return columns.joined(separator: "\t") + "\n"
  }

  @Test("has these columns and this leaf")
  func known() throws {
    let event = try Self.read(Self.line)
    #expect(
      event
        == LoggedEvent(
          entry: 7, index: 0,
          stream: StreamID(high: 0x0198_7c50_0000_7000, low: 0x8000_0000_0000_0007),
          version: 1, type: "step.created", recordedAt: Instant(micros: 1_795_545_982_123_456),
          actor: "cli/ann@host", cause: 5,
          command: StreamID(high: 0x0198_7c50_0000_7000, low: 0x8000_0000_0000_0008),
          data: #"{"a": "\n"}"#, content: #"{"b": 1}"#, salt: [UInt8](0...15), commitment: nil))
    #expect(
      try LeafHasher().leaf(of: event).hex
        == "9fca635e292368c7cf122c01066dce829703382ee159d5ea805673b9778fd088")
    #expect(try Self.read(String(Self.line.dropLast())) == event)
  }

  @Test(
    "whose time is written in another way is refused",
    arguments: [
      "2026-11-24 18:46:22.123456+01", "2026-11-24 18:46:22.123456",
      "2026-11-24T18:46:22.123456+00",
      "2026-11-24 18:46:22.1234560+00", "2026-11-24 18:46:22.120+00", "2026-11-24 18:46:22.+00",
      "2026-11-24 18:46+00", "2026-11-24 24:00:00+00", "2026-11-24 18:60:00+00",
      "2026-11-24 18:46:60+00",
      "2026-02-30 18:46:22+00", "0044-03-15 12:00:00+00 BC", "12026-11-24 18:46:22+00", "infinity",
      "-infinity", "24/11/2026 18:46:22 UTC", "Tue Nov 24 18:46:22 2026 UTC",
      "2026-11-24 18:46:22+00:00",
      "2026-11-24 18:46:22Z", "2026-11-24 18:46:2x+00", "", #"\N"#,
    ])
  func times(time: String) {
    #expect(throws: EventLineError.self) { try Self.read(Self.with(5, time)) }
    let column = (try? Self.read(Self.with(5, time))).map { _ in "" } ?? "recorded_at"
    #expect(column == "recorded_at")
  }

  @Test(
    "with a column that COPY TO does not give is refused, by the column's name",
    arguments: [
      (0, "entry", ["0", "-1", "07", "+7", " 7", "7 ", "", #"\N"#, "9223372036854775808", "7a"]),
      (1, "index", ["-1", "2147483648", "-0", #"\N"#]),
      (
        2, "stream",
        ["", #"\N"#, "01987c50-0000-7000-8000-00000000000", "{01987c50000070008000000000000007}"]
      ),
      (3, "version", ["0", "2147483648"]),
      (4, "type", [#"\N"#, #"a\"#, #"a\x41"#, #"a\101"#, #"\a"#]),
      (6, "actor", [#"\N"#, #"\."#]),
      (7, "cause", ["", "9223372036854775808", "-9223372036854775809"]),
      (8, "command", ["", "x"]),
      (9, "data", [#"\N"#, #"{}\"#]),
      (
        11, "salt",
        [
          "", #"\\x00"#, #"\\x000102030405060708090a0b0c0d0e0g"#,
          #"\x000102030405060708090a0b0c0d0e0f"#,
          #"\\x000102030405060708090A0B0C0D0E0F"#,
        ]
      ),
      (12, "commitment", [#"\\x00"#]),
    ])
  func columns(column: Int, name: String, values: [String]) {
    for value in values {
      do {
        _ = try Self.read(Self.with(column, value))
        Issue.record("\(name) \(value) is taken")
      } catch {
        #expect((error as? EventLineError)?.column == name, "\(value): \(error)")
      }
    }
  }

  @Test("whose content is neither salted nor erased, or both, is refused")
  func content() {
    let commitment = #"\\x"# + String(repeating: "ab", count: 32)
    #expect(throws: EventLineError.self) { try Self.read(Self.with(11, #"\N"#)) }
    #expect(throws: EventLineError.self) { try Self.read(Self.with(10, #"\N"#)) }
    #expect(throws: EventLineError.self) { try Self.read(Self.with(12, commitment)) }
  }

  @Test("with a commitment in place of its salt has no values, or no leaf: else they could be any")
  func erased() throws {
    var event = try Self.read(Self.line)
    event.salt = nil
    event.commitment = [UInt8](repeating: 7, count: 32)
    for names in ["{}", #"{"b": null}"#, #"{"a\"b": null, "c": null}"#] {
      event.content = names
      _ = try LeafHasher().leaf(of: event)
    }
    for values in [
      #"{"b": 1}"#, #"{"b": null, "c": "forged"}"#, #"{"b": null} "#, "[]", #""x""#, "null",
      #"{"b": null, }"#, #"{"b": null"#, #"{"b\": null}"#, "{", "",
    ] {
      event.content = values
      #expect(throws: EventLineError.self, "\(values)") { try LeafHasher().leaf(of: event) }
    }
  }

  @Test("that is cut or has a column more is refused")
  func shape() {
    let end = Self.line.utf8.count - 3
    for count in 0...end {
      #expect(throws: EventLineError.self) { try Self.read(String(Self.line.prefix(count))) }
    }
    #expect(throws: EventLineError.self) { try Self.read(Self.line.dropLast() + "\t\n") }
  }

  @Test("with a type or an actor that a leaf cannot hold has none")
  func long() throws {
    var event = try Self.read(Self.line)
    event.actor = String(repeating: "a", count: 65_535)
    event.type = event.actor
    _ = try LeafHasher().leaf(of: event)
    event.actor += "a"
    #expect(throws: EventLineError("actor", "has more than 65535 bytes")) {
      try LeafHasher().leaf(of: event)
    }
  }
}
