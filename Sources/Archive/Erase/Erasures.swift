import Crypto
import Glibc
import JSON
import Ledger
import Log
import Postgres
import Synchronization

/// The erased streams, each with the entry of its last erasure. No copy may keep the content of its earlier events.
struct Erasures: Equatable {
  private(set) var entries: [StreamID: Int64] = [:]

  /// The streams that were erased after this entry.
  func streams(after entry: Int64) -> [StreamID] {
    entries.filter { $0.value > entry }.map(\.key)
  }

  /// Whether an event still has content that was erased.
  func concern(_ event: EventLine) -> Bool {
    guard event.salt != nil, let entry = entries[event.stream] else { return false }
    return event.entry < entry
  }

  /// Whether an event lacks its content though no erasure removed it.
  func leaveUnexplained(_ event: EventLine) -> Bool {
    event.commitment != nil && event.entry >= entries[event.stream, default: 0]
  }
}

/// Files that are known to hold no erased content, so that `archive push --watch` checks each file once.
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
  /// - Parameter tip: Leaves out the erasures of later entries: a push applies them after it stored those entries.
  func erasures(upTo lastEntry: Int64) throws(OpsError) -> Erasures {
    Erasures(entries: try erasedEntries(upTo: lastEntry))
  }

  /// Erases content that a restore put back although it had been erased.
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
  /// Writes again each segment that holds erased content. A new segment is verified, and has the same roots, before the
  /// old one is removed. If this is interrupted, the next push continues.
  ///
  /// - Returns: The new segments.
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
    // Reads up to the first event with erased content.
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
      try writer.write(lines.read(frame.text))
    }
    let (index, isNew) = try writer.finish()
    guard isNew, index.after == old.index.after, let file = try files.file(name.path) else {
      throw .notReplaced("\(segment.name)", by: "\(name)", in: files.place)
    }
    try SegmentReader(files, file).verify()
    try files.remove(segment.name.path)
    return name
  }
}

extension OpsError {
  static func notReplaced(_ old: String, by new: String, in place: String) -> OpsError {
    OpsError(
      store: .diverged,
      "\(old) of \(place) still holds erased content: \(new), which replaces it, could not be written",
      hint: "see `opsledger archive verify`")
  }
}

/// Writes lines of the log without erased content.
private final class ErasedLines {
  private let erasures: Erasures
  private let reader = EventLineReader()
  private let fields = JSONReader()
  private let hasher = SHA256()

  init(_ erasures: Erasures) { self.erasures = erasures }

  func read(_ text: [UInt8]) throws(OpsError) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(text.count)
    try text.withBytes { (text) throws(OpsError) in
      try SegmentFrameMaker.eachLine(of: text) { (line) throws(OpsError) in
        try write(line, to: &out)
      }
    }
    return out
  }

  private func write(
    _ line: UnsafeRawBufferPointer, to out: inout [UInt8]
  ) throws(OpsError) {
    let event: EventLine
    do throws(EventLineError) { event = try reader.read(line) } catch {
      throw OpsError(
        store: .damaged, "an event in the store cannot be read, and was not erased: \(error)",
        hint: "see `opsledger archive verify`")
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

  /// Does what `ledger.emptied` does in the database.
  private func emptied(_ content: UnsafeRawBufferPointer) throws(OpsError) -> String {
    guard let names = fields.fields(content)?.names else {
      throw OpsError(
        store: .damaged,
        "the content of an event in the store is not a JSON object, and was not erased",
        hint: "see `opsledger archive verify`")
    }
    return "{" + names.map { JSON.string($0).text + ": null" }.joined(separator: ", ") + "}"
  }
}
