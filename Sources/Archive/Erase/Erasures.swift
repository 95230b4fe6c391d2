import Crypto
import Glibc
import JSON
import Ledger
import Log
import Postgres
import Synchronization

/// What was erased: of each stream the entry that did so last. What its events before that held is to be nowhere.
struct Erasures: Equatable {
  private(set) var entries: [StreamID: Int64] = [:]

  /// Those that were erased after this entry.
  func streams(after entry: Int64) -> [StreamID] {
    entries.filter { $0.value > entry }.map(\.key)
  }

  func concern(_ event: EventLine) -> Bool {
    guard event.salt != nil, let entry = entries[event.stream] else { return false }
    return event.entry < entry
  }

  /// Its content is gone, and none of these took it off.
  func leaveUnexplained(_ event: EventLine) -> Bool {
    event.commitment != nil && event.entry >= entries[event.stream, default: 0]
  }
}

/// Files that this process knows to be without what was erased, so that a push that watches looks at each once.
enum CleanFiles {
  private struct Known {
    let erasures: Erasures
    var names: Set<String> = []
  }

  private static let stores = Mutex<[String: Known]>([:])

  static func know(_ name: String, _ erasures: Erasures, _ place: String) -> Bool {
    stores.withLock { stores in
      guard let known = stores[place] else { return false }
      return known.erasures == erasures && known.names.contains(name)
    }
  }

  static func note(_ name: String, _ erasures: Erasures, _ place: String) {
    stores.withLock { stores in
      if stores[place]?.erasures != erasures { stores[place] = Known(erasures: erasures) }
      stores[place]?.names.insert(name)
    }
  }
}

extension Session {
  /// - Parameter tip: What a later entry erased is left for when that is stored.
  func erasures(upTo lastEntry: Int64) throws(OpsError) -> Erasures {
    Erasures(entries: try erasedEntries(upTo: lastEntry))
  }

  /// Erases what was put back although it had been erased.
  func eraseAgain() throws(OpsError) {
    try asRepairRole { (connection) throws(OpsError) in
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(
          Statement(
            "SELECT ledger.erase_content(ARRAY(SELECT x.stream FROM ledger.confirmed_erasures() AS x), '{}')"
          ))
      }
    }
  }
}

extension Store {
  /// Writes the segments again that hold what was erased. Each is whole, verified and of the same roots before
  /// the one that it replaces goes; cut short anywhere, the next push goes on.
  ///
  /// - Returns: The segments that were made.
  func erase(_ erasures: Erasures, from list: SegmentList) throws(OpsError) -> [SegmentName] {
    if erasures.entries.isEmpty { return [] }
    var made: [SegmentName] = []
    for segment in list.segments {
      let streams = erasures.streams(after: segment.name.entries.lowerBound)
      guard !streams.isEmpty, !CleanFiles.know(segment.name.path, erasures, files.place) else {
        continue
      }
      var name = segment.name
      if try holds(erasures, Set(streams), segment) {
        name = try write(segment, without: erasures)
        made.append(name)
      }
      CleanFiles.note(name.path, erasures, files.place)
    }
    return made
  }

  private func holds(
    _ erasures: Erasures, _ streams: Set<StreamID>, _ segment: SegmentList.Segment
  ) throws(OpsError) -> Bool {
    // It is read up to the first that does.
    let wanted = ArchivedQuery(segment.name.entries, .these(streams))
    return try !reader(of: segment).lines(wanted) { (event) throws(OpsError) in
      !erasures.concern(event)
    }
  }

  private func write(
    _ segment: SegmentList.Segment, without erasures: Erasures
  ) throws(OpsError) -> SegmentName {
    let old = try reader(of: segment)
    let name = SegmentName(
      segment.name.entries,
      generation: try SegmentName.generation(
        after: segment.name.generation, of: segment.name.path, in: files.place))
    let writer = try SegmentWriter(
      files, name, identity: record.identity, before: old.index.before)
    let lines = ErasedLines(erasures)
    try old.verify { (frame) throws(OpsError) in
      let text = try lines.read(frame.text)
      try text.withUnsafeBytes { text in
        Result { () throws(OpsError) in try writer.write(text) }
      }.get()
    }
    let (index, isNew) = try writer.finish()
    guard isNew, index.after == old.index.after,
      let file = try files.list(name.path).first(where: { $0.name == name.path })
    else {
      throw OpsError(
        store: .diverged,
        "\(name) could not be written to \(files.place) in place of \(segment.name)",
        hint: "see `opsledger archive verify`")
    }
    try SegmentReader(files, file).verify()
    try files.remove(segment.name.path)
    return name
  }
}

/// Lines of the log without what was erased.
private final class ErasedLines {
  private let erasures: Erasures
  private let reader = EventLineReader()
  private let fields = JSONReader()
  private let hasher = SHA256()

  init(_ erasures: Erasures) { self.erasures = erasures }

  func read(_ text: [UInt8]) throws(OpsError) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    try text.withUnsafeBytes { text in
      Result { () throws(OpsError) in
        try SegmentFrameMaker.eachLine(of: text) { (line) throws(OpsError) in
          try write(line, to: &out)
        }
      }
    }.get()
    return out
  }

  private func write(
    _ line: UnsafeRawBufferPointer, to out: inout [UInt8]
  ) throws(OpsError) {
    let event: EventLine
    do throws(EventLineError) { event = try reader.read(line) } catch {
      throw OpsError(store: .damaged, "a line of the log is none: \(error)")
    }
    guard erasures.concern(event), let salt = event.salt, let content = event.content else {
      return out.append(contentsOf: line)
    }
    hasher.update(salt)
    let commitment = hasher.hash(content)
    var erased = LoggedEvent(event)
    erased.content = try emptied(content)
    erased.salt = nil
    erased.commitment = commitment.bytes
    erased.writeLine(to: &out)
  }

  /// As `ledger.emptied` does.
  private func emptied(_ content: UnsafeRawBufferPointer) throws(OpsError) -> String {
    guard let names = fields.fields(content)?.names else {
      throw OpsError(store: .damaged, "content that is no JSON object")
    }
    return "{" + names.map { JSON.string($0).text + ": null" }.joined(separator: ", ") + "}"
  }
}
