import JSON
public import Ledger
import Log
import Postgres

/// A row that an erasure leaves although it has the erased words: a copy that no event names, or a coincidence.
public struct SameWords: Equatable, Sendable {
  public let stream: StreamID
  public let rowType: RowType
  /// The fields that have the words, such as `data.dedupe_key` or `content.title`.
  public internal(set) var fields: [String]

  /// Whether an erasure of this row would remove words.
  public var isErasable: Bool { fields.contains { $0.hasPrefix("content.") } }
}

/// The rows that an erasure leaves although they have the erased words.
public struct SameWordsReport: Equatable, Sendable {
  public internal(set) var rows: [SameWords] = []
  /// How many texts stand in more than a thousand rows, and therefore count as common words.
  public internal(set) var commonTexts = 0
}

/// Searches the whole log and its archived part for the texts of an erasure. It finds the copies that no event names: a
/// text that somebody typed again, quoted in a reason, or put into a policy or a dedupe key.
struct SameWordsSearch {
  /// Shorter texts stand in too many rows by coincidence.
  private static let bytesMin = 8
  /// A text that stands in more rows counts as common words.
  private static let rowsMax = 1000

  private let erased: Set<StreamID>
  private var finder = TextFinder()
  /// The rows in which each text was found.
  private var streams: [Int: Set<StreamID>] = [:]
  private var found: [StreamID: (rowType: RowType, fields: [String: Set<Int>])] = [:]

  private init(_ erased: Set<StreamID>) { self.erased = erased }

  /// - Parameters:
  ///   - due: The rows with the texts to search for.
  ///   - holders: All rows of the erasure. Only their data is searched, since it stays.
  static func run(
    due: [StreamID], holders: [StreamID], _ session: Session
  ) throws(OpsError) -> SameWordsReport {
    var search = SameWordsSearch(Set(holders))
    try search.collect(due, session)
    guard !search.finder.isEmpty else { return SameWordsReport() }
    _ = try session.eachArchived { (event) throws(OpsError) in
      search.look(event.stream, event.type, data: event.data, content: event.content)
    }
    let connection = try session.connection()
    try onDatabase { () throws(PostgresError) in
      let reader = try connection.copyReader(
        "COPY (SELECT stream, type, data, content FROM ledger.events) TO STDOUT (FORMAT binary)")
      while let row = try reader.next() {
        search.look(
          StreamID(try row[0].uuid()), row[1].bytes, data: row[2].bytes,
          content: row[3].isNull ? nil : row[3].bytes)
      }
    }
    return search.report
  }

  private var report: SameWordsReport {
    var report = SameWordsReport()
    let common = Set(streams.filter { $0.value.count > Self.rowsMax }.keys)
    report.commonTexts = common.count
    report.rows = found.compactMap { stream, place in
      let fields = place.fields.filter { !$0.value.isSubset(of: common) }.keys.sorted()
      return fields.isEmpty
        ? nil : SameWords(stream: stream, rowType: place.rowType, fields: fields)
    }.sorted {
      ($0.rowType.rawValue, $0.stream.description) < ($1.rowType.rawValue, $1.stream.description)
    }
    return report
  }

  // MARK: The texts

  private mutating func collect(_ due: [StreamID], _ session: Session) throws(OpsError) {
    let wanted = Set(due)
    _ = try session.eachArchived { (event) throws(OpsError) in
      guard wanted.contains(event.stream), event.salt != nil, let content = event.content else {
        return
      }
      take(String(decoding: content, as: UTF8.self))
    }
    let rows = try session.query(Self.contents, Parameters(due))
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count { take(try rows.text(row, 0)) }
    }
  }

  private static let contents = Statement(
    """
    SELECT e.content::text FROM ledger.events AS e
    WHERE e.stream = ANY ($1::uuid[]) AND e.salt IS NOT NULL AND e.type NOT LIKE '%\(CommonKind.erased.typeSuffix)'
    """)

  private mutating func take(_ content: String) {
    guard let json = try? JSON(parsing: content) else { return }
    json.eachText { text in
      if Self.isTelling(text) { finder.add(text) }
    }
  }

  /// Whether a text is long enough, and neither an id, a time, nor a text that the program itself writes.
  static func isTelling(_ text: String) -> Bool {
    text.utf8.count >= bytesMin && StreamID(text) == nil && Instant(text) == nil
      && !text.hasPrefix("OPS_") && !ours.contains(text)
  }

  private static let ours = Set(
    ["Lease expired"] + Executors.all.flatMap { $0.ownTexts } + Radar.Stage.allCases.map(\.rawValue)
  )

  // MARK: The search

  private mutating func look(
    _ stream: StreamID, _ type: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer,
    content: UnsafeRawBufferPointer?
  ) {
    look(stream, type, data, "data")
    if let content, !erased.contains(stream) { look(stream, type, content, "content") }
  }

  private mutating func look(
    _ stream: StreamID, _ type: UnsafeRawBufferPointer, _ text: UnsafeRawBufferPointer,
    _ part: String
  ) {
    // A text with escapes must be parsed before it is searched.
    guard finder.isIn(text) || text.contains(UInt8(ascii: "\\")) else { return }
    guard let members = (try? JSON(parsing: String(decoding: text, as: UTF8.self)))?.objectValue,
      let rowType = RowType(
        rawValue: String(decoding: type.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self))
    else { return }
    for (name, value) in Self.fields(members) {
      var texts: Set<Int> = []
      value.eachText { leaf in
        var leaf = leaf
        leaf.withUTF8 { texts.formUnion(finder.all(in: UnsafeRawBufferPointer($0))) }
      }
      if !texts.isEmpty { note(stream, rowType, "\(part).\(name)", texts) }
    }
  }

  /// The members of a payload; for a manual change its columns.
  private static func fields(_ members: [String: JSON]) -> [(String, JSON)] {
    members.flatMap { name, value in
      guard ["columns", "changes"].contains(name), let columns = value.objectValue else {
        return [(name, value)]
      }
      return columns.map { ($0.key, $0.value) }
    }
  }

  private mutating func note(
    _ stream: StreamID, _ rowType: RowType, _ field: String, _ texts: Set<Int>
  ) {
    var isListed = false
    for text in texts where streams[text, default: []].count <= Self.rowsMax {
      streams[text, default: []].insert(stream)
      isListed = true
    }
    // A common text is not reported.
    if isListed {
      found[stream, default: (rowType, [:])].fields[field, default: []].formUnion(texts)
    }
  }
}

/// Finds any of many texts in bytes, in one pass.
struct TextFinder {
  private static let width = MemoryLayout<UInt64>.size
  private var texts: [[UInt8]] = []
  private var known: Set<[UInt8]> = []
  /// Texts by their first eight bytes.
  private var starts: [UInt64: [Int]] = [:]
  /// A bit for the hash of each start, so that most positions need no look-up.
  private var bits = [UInt64](repeating: 0, count: 1024)

  var isEmpty: Bool { texts.isEmpty }

  /// Adds a text of at least eight bytes.
  mutating func add(_ text: String) {
    let bytes = Array(text.utf8)
    guard bytes.count >= Self.width, known.insert(bytes).inserted else { return }
    let start = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
    starts[start, default: []].append(texts.count)
    bits[Self.word(start)] |= Self.bit(start)
    texts.append(bytes)
  }

  func isIn(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var isFound = false
    each(in: bytes) { _ in
      isFound = true
      return false
    }
    return isFound
  }

  func all(in bytes: UnsafeRawBufferPointer) -> Set<Int> {
    var found: Set<Int> = []
    each(in: bytes) { text in
      found.insert(text)
      return true
    }
    return found
  }

  /// - Parameter body: Returns whether to continue.
  private func each(in bytes: UnsafeRawBufferPointer, _ body: (Int) -> Bool) {
    guard bytes.count >= Self.width else { return }
    bits.withUnsafeBufferPointer { bits in
      for offset in 0...(bytes.count - Self.width) {
        let start = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        guard bits[Self.word(start)] & Self.bit(start) != 0, let candidates = starts[start] else {
          continue
        }
        for text in candidates where bytes[offset...].starts(with: texts[text]) {
          if !body(text) { return }
        }
      }
    }
  }

  private static func hash(_ start: UInt64) -> UInt64 { (start &* 0x9E37_79B9_7F4A_7C15) >> 48 }
  private static func word(_ start: UInt64) -> Int { Int(hash(start) >> 6) }
  private static func bit(_ start: UInt64) -> UInt64 { 1 << (hash(start) & 63) }
}

extension JSON {
  /// Calls `body` with every text in it. Names of members are no texts.
  fileprivate func eachText(_ body: (String) -> Void) {
    switch self {
    case .string(let text): body(text)
    case .array(let elements): for element in elements { element.eachText(body) }
    case .object(let members): for member in members.values { member.eachText(body) }
    case .null, .bool, .number: break
    }
  }
}
