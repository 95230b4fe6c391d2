import Crypto
public import Ledger
public import Log
import Synchronization

/// The log as stores have it: what has left the database, or, where there is none, all of it. Of several stores, which
/// are copies of one history, the first is read until something of it is missing or damaged, then the next.
///
/// Indexes are read once and kept; readers are lent to one thread at a time.
public final class StoredLog: ArchivedLog {
  private let places: [any ObjectStore]
  private let state = Mutex(State())

  private struct State: Sendable {
    /// Which of the stores is read.
    var at = 0
    var segments: SegmentList?
    var store: Store?
    var idle: [SegmentName: [Lent]] = [:]
    /// Roots that a store must have to be read.
    var required: [Int64: [UInt8]] = [:]
    var bytesRead: UInt64 = 0
  }

  /// A reader between two uses, owned by nobody.
  private final class Lent: @unchecked Sendable {
    let reader: SegmentReader

    init(_ reader: SegmentReader) { self.reader = reader }
  }

  /// Reads nothing yet.
  public init(_ files: any ObjectStore) { places = [files] }

  /// - Parameter places: At least one.
  public init(_ places: [any ObjectStore]) {
    precondition(!places.isEmpty, "there is a store to read")
    self.places = places
  }

  /// The store that is read.
  private var files: any ObjectStore { places[state.withLock { $0.at }] }

  /// What was read of the segments so far, in bytes.
  public var bytesRead: UInt64 { state.withLock { $0.bytesRead } }

  /// What the segments have, in bytes.
  public func bytes() throws(OpsError) -> UInt64 {
    try opened().segments.segments.reduce(0) {
      let (sum, overflows) = $0.addingReportingOverflow($1.file.size)
      return overflows ? .max : sum
    }
  }

  /// The last entry that the store covers.
  public func lastEntry() throws(OpsError) -> Int64 { try opened().segments.lastEntry }

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
    let (idle, at) = state.withLock { ($0.idle[segment.name]?.popLast(), $0.at) }
    let reader: SegmentReader
    if let idle { reader = idle.reader } else { reader = try opened().store.reader(of: segment) }
    let before = idle == nil ? 0 : reader.bytesRead
    let lent = Lent(reader)
    defer {
      let read = reader.bytesRead - before
      state.withLock {
        $0.bytesRead += read
        if $0.at == at { $0.idle[segment.name, default: []].append(lent) }
      }
    }
    return try body(reader)
  }

  // MARK: What is asked

  public func require(root: [UInt8], at entry: Int64) throws(OpsError) {
    if state.withLock({ $0.required[entry] == root }) { return }
    try goingOn { () throws(OpsError) in try compare(root, at: entry) }
    state.withLock { $0.required[entry] = root }
  }

  private func compare(_ root: [UInt8], at entry: Int64) throws(OpsError) {
    let segments = try opened().segments
    let last = segments.segments.first { $0.name.entries.contains(entry) }
    let index = try last.map { (segment) throws(OpsError) in
      try withReader(of: segment) { (reader) throws(OpsError) in reader.index }
    }
    // A segment without an event has one tree from its first entry to its last.
    guard let index, index.name.entries.upperBound == entry || index.eventCount == 0 else {
      throw OpsError(
        store: .diverged,
        "entries up to \(entry) have left the database, and \(files.place) "
          + (segments.lastEntry < entry
            ? "ends at entry \(segments.lastEntry)" : "has no segment that ends there"),
        hint: "name the store that they were archived in, or another copy of it")
    }
    let here = index.root
    guard here.bytes == root else {
      throw OpsError(
        store: .diverged,
        "\(files.place) is not the store that entries up to \(entry) were archived in: its root is "
          + "\(here.hex) there, the database's \(Digest(root)?.hex ?? "none")",
        hint: "name the right store")
    }
  }

  public func events(
    _ wanted: ArchivedQuery, _ body: (EventLine) throws(OpsError) -> Bool
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
    _ wanted: ArchivedQuery, _ body: (LoggedEvent) throws(OpsError) -> Bool
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

  public func files(holding entries: Set<Int64>) throws(OpsError) -> [String] {
    try opened().segments.segments.lazy.map(\.name)
      .filter { entries.contains(where: $0.entries.contains) }.map(\.path)
  }

  /// Reads, and goes on where a file was replaced meanwhile: segments are merged, and written again without what was
  /// erased. What is gone and was not replaced is missing; then the next store is read.
  private func goingOn(_ read: () throws(OpsError) -> Void) throws(OpsError) {
    var first: OpsError?
    while true {
      let at = state.withLock { $0.at }
      var known: SegmentList?
      do throws(OpsError) {
        known = try opened().segments
        return try read()
      } catch {
        if error.code == .notFound, let known, try wereReplaced(known) { continue }
        let mayBeElsewhere =
          [.storeDiverged, .notFound].contains(error.code)
          || error.store?.place != nil
        first = first ?? error
        guard mayBeElsewhere, useNext(after: at) else { throw first ?? error }
      }
    }
  }

  /// Whether there are other files now, which have what these had.
  private func wereReplaced(_ known: SegmentList) throws(OpsError) -> Bool {
    state.withLock { ($0.segments, $0.idle) = (nil, [:]) }
    let list = try opened().segments
    return list.lastEntry >= known.lastEntry && list.segments != known.segments
  }

  /// Goes over to the next store that has the roots which are required.
  ///
  /// - Returns: False where there is none.
  private func useNext(after at: Int) -> Bool {
    let isNext = state.withLock { state in
      // Another thread may have gone over to it.
      guard state.at == at else { return true }
      guard at + 1 < places.count else { return false }
      state.at = at + 1
      (state.store, state.segments, state.idle) = (nil, nil, [:])
      return true
    }
    guard isNext else { return false }
    let (required, now) = state.withLock { ($0.required, $0.at) }
    do throws(OpsError) {
      for (entry, root) in required { try compare(root, at: entry) }
      return true
    } catch { return useNext(after: now) }
  }

  private func segments(for wanted: ArchivedQuery) throws(OpsError) -> [SegmentList.Segment] {
    try opened().segments.segments.filter { segment in
      let entries = segment.name.entries
      return entries.overlaps(wanted.entries)
        && wanted.only.map { $0.contains(where: entries.contains) } ?? true
    }
  }
}
