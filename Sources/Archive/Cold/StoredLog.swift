import Crypto
public import Ledger
public import Log
import Synchronization

/// The log as a store has it: what has left the database, or, where there is none, all of it.
///
/// Indexes are read once and kept; readers are lent to one thread at a time.
public final class StoredLog: ColdLog {
  private let files: any ObjectStore
  private let state = Mutex(State())

  private struct State: Sendable {
    var segments: SegmentList?
    var store: Store?
    var idle: [SegmentName: [Lent]] = [:]
    var required: Set<Int64> = []
    var bytesRead: UInt64 = 0
  }

  /// A reader between two uses, owned by nobody.
  private final class Lent: @unchecked Sendable {
    let reader: SegmentReader

    init(_ reader: SegmentReader) { self.reader = reader }
  }

  /// Reads nothing yet.
  public init(_ files: any ObjectStore) { self.files = files }

  /// What was read of the segments so far, in bytes.
  public var bytesRead: UInt64 { state.withLock { $0.bytesRead } }

  /// What the segments have, in bytes.
  public func bytes() throws(OpsError) -> UInt64 {
    try opened().segments.segments.reduce(0) { $0 + $1.file.size }
  }

  /// The last entry that the store covers.
  public func tip() throws(OpsError) -> Int64 { try opened().segments.tip }

  private func opened() throws(OpsError) -> (store: Store, segments: SegmentList) {
    if let (store, segments) = state.withLock({ state in
      state.store.flatMap { store in state.segments.map { (store, $0) } }
    }) {
      return (store, segments)
    }
    let store = try Store.existing(files)
    let segments = try store.segments()
    state.withLock { ($0.store, $0.segments) = (store, segments) }
    return (store, segments)
  }

  private func withReader<R>(
    of segment: SegmentList.Segment, _ body: (SegmentReader) throws(OpsError) -> R
  ) throws(OpsError) -> R {
    let idle = state.withLock { $0.idle[segment.name]?.popLast() }
    let reader: SegmentReader
    if let idle { reader = idle.reader } else { reader = try opened().store.reader(of: segment) }
    let before = idle == nil ? 0 : reader.bytesRead
    let lent = Lent(reader)
    defer {
      let read = reader.bytesRead - before
      state.withLock {
        $0.bytesRead += read
        $0.idle[segment.name, default: []].append(lent)
      }
    }
    return try body(reader)
  }

  // MARK: What is asked

  public func require(root: [UInt8], at entry: Int64) throws(OpsError) {
    if state.withLock({ $0.required.contains(entry) }) { return }
    try goingOn { () throws(OpsError) in try compare(root, at: entry) }
    state.withLock { _ = $0.required.insert(entry) }
  }

  private func compare(_ root: [UInt8], at entry: Int64) throws(OpsError) {
    let segments = try opened().segments
    guard let last = segments.segments.first(where: { $0.name.entries.upperBound == entry }) else {
      throw OpsError(
        .storeDiverged,
        "entries up to \(entry) have left the database, and \(files.place) "
          + (segments.tip < entry
            ? "ends at entry \(segments.tip)" : "has no segment that ends there"),
        hint: "name the store that they were archived in, or another copy of it")
    }
    let here = try withReader(of: last) { (reader) throws(OpsError) in reader.index.root }
    guard here.bytes == root else {
      throw OpsError(
        .storeDiverged,
        "\(files.place) is not the store that entries up to \(entry) were archived in: its root is "
          + "\(here.hex) there, the database's \(Digest(root)?.hex ?? "none")",
        hint: "name the right store")
    }
  }

  public func events(
    _ wanted: ColdQuery, _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError) {
    var last: LinePosition?
    try goingOn { () throws(OpsError) in
      for segment in try segments(for: wanted) {
        let goesOn = try withReader(of: segment) { (reader) throws(OpsError) in
          try reader.lines(wanted) { (event) throws(OpsError) in
            let position = LinePosition(entry: event.entry, index: event.index)
            if let last, position <= last { return true }
            last = position
            return try body(event)
          }
        }
        guard goesOn else { return }
      }
    }
  }

  public func eventsBackwards(
    _ wanted: ColdQuery, _ body: (LoggedEvent) throws(OpsError) -> Bool
  ) throws(OpsError) {
    var last: LinePosition?
    try goingOn { () throws(OpsError) in
      for segment in try segments(for: wanted).reversed() {
        let goesOn = try withReader(of: segment) { (reader) throws(OpsError) in
          try reader.lines(wanted, backwards: true) { (event) throws(OpsError) in
            let position = LinePosition(entry: event.entry, index: event.index)
            if let last, position >= last { return true }
            last = position
            return try body(LoggedEvent(event))
          }
        }
        guard goesOn else { return }
      }
    }
  }

  /// Reads, and goes on where a file was replaced meanwhile: segments are merged, and written again without what was
  /// erased. What is gone and was not replaced is missing.
  private func goingOn(_ read: () throws(OpsError) -> Void) throws(OpsError) {
    while true {
      let known = try opened().segments
      do throws(OpsError) { return try read() } catch {
        guard error.code == .notFound else { throw error }
        state.withLock { ($0.segments, $0.idle) = (nil, [:]) }
        let list = try opened().segments
        guard list.tip >= known.tip, list.segments != known.segments else { throw error }
      }
    }
  }

  private func segments(for wanted: ColdQuery) throws(OpsError) -> [SegmentList.Segment] {
    try opened().segments.segments.filter { segment in
      let entries = segment.name.entries
      return entries.overlaps(wanted.entries)
        && wanted.only.map { $0.contains(where: entries.contains) } ?? true
    }
  }
}
