import Crypto
public import Ledger
public import Log
import Synchronization

/// The log as stores have it, for archived entries, or for all entries without a database. Several stores are copies of
/// one history: it reads the first until a file there is missing or damaged, and then the next.
///
/// A reader keeps its index, and serves one thread at a time.
public final class StoredLog: ArchivedLog {
  private let places: [any ObjectStore]
  private let state = Mutex(State())

  private struct State: Sendable {
    /// The number of the store that it reads.
    var at = 0
    var opened: (store: Store, segments: SegmentList)?
    var idle: [SegmentName: [Lent]] = [:]
    /// The roots that a store must have, by entry.
    var required: [Int64: [UInt8]] = [:]
    var bytesRead: UInt64 = 0
  }

  /// A reader between two uses.
  private final class Lent: @unchecked Sendable {
    let reader: SegmentReader

    init(_ reader: SegmentReader) { self.reader = reader }
  }

  /// Reads nothing yet.
  public convenience init(_ files: any ObjectStore) { self.init([files]) }

  /// - Parameter places: At least one.
  public init(_ places: [any ObjectStore]) {
    precondition(!places.isEmpty, "a stored log needs a store")
    self.places = places
  }

  /// The store that it reads.
  private var files: any ObjectStore { places[state.withLock { $0.at }] }

  /// The bytes read from segments so far.
  public var bytesRead: UInt64 { state.withLock { $0.bytesRead } }

  /// The size of all segments, in bytes.
  public func bytes() throws(OpsError) -> UInt64 {
    try opened().segments.segments.reduce(0) {
      let (sum, overflows) = $0.addingReportingOverflow($1.file.size)
      return overflows ? .max : sum
    }
  }

  private func opened() throws(OpsError) -> (store: Store, segments: SegmentList) {
    if let opened = state.withLock({ $0.opened }) { return opened }
    let store = try Store.existing(files)
    let segments = try store.segments()
    state.withLock { $0.opened = (store, segments) }
    return (store, segments)
  }

  private func withReader<R>(
    of segment: SegmentList.Segment, _ body: (SegmentReader) throws(OpsError) -> R
  ) throws(OpsError) -> R {
    let (idle, at) = state.withLock { ($0.idle[segment.name]?.popLast(), $0.at) }
    let reader = if let idle { idle.reader } else { try opened().store.reader(of: segment) }
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

  public func require(root: [UInt8], at entry: Int64) throws(OpsError) {
    if state.withLock({ $0.required[entry] == root }) { return }
    try retrying { () throws(OpsError) in try compare(root, at: entry) }
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
        "entries up to \(entry) are archived, and \(files.place) "
          + (segments.lastEntry < entry
            ? "ends at entry \(segments.lastEntry)" : "has no segment that ends at entry \(entry)"),
        hint: "name the store in which they were archived, or a copy of it: --store")
    }
    let here = index.root
    guard here.bytes == root else {
      throw OpsError(
        store: .diverged,
        "entries up to \(entry) were not archived in \(files.place): its root at entry \(entry) is "
          + "\(here.hex), and the database's is \(Digest(root)?.hex ?? "none")",
        hint: "name the store in which they were archived, or a copy of it: --store")
    }
  }

  public func events(
    _ wanted: ArchivedQuery, _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError) {
    try read(wanted, backwards: false, body)
  }

  public func eventsBackwards(
    _ wanted: ArchivedQuery, _ body: (LoggedEvent) throws(OpsError) -> Bool
  ) throws(OpsError) {
    try read(wanted, backwards: true) { (event) throws(OpsError) in try body(LoggedEvent(event)) }
  }

  private func read(
    _ wanted: ArchivedQuery, backwards: Bool, _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError) {
    var last: LinePosition?
    try retrying { () throws(OpsError) in
      let segments = try segments(for: wanted)
      for segment in backwards ? segments.reversed() : segments {
        let continues = try withReader(of: segment) { (reader) throws(OpsError) in
          try reader.lines(wanted, backwards: backwards) { (event) throws(OpsError) in
            let position = LinePosition(event)
            // A retry reads from the beginning: it skips what `body` has seen.
            if let last, backwards ? position >= last : position <= last { return true }
            last = position
            return try body(event)
          }
        }
        guard continues else { return }
      }
    }
  }

  public func files(holding entries: Set<Int64>) throws(OpsError) -> [String] {
    try opened().segments.segments.lazy.map(\.name)
      .filter { entries.contains(where: $0.entries.contains) }.map(\.path)
  }

  /// Reads again if a push replaced a file meanwhile: a push merges segments, and writes them again without erased
  /// content. If a file is missing and nothing replaces it, or is damaged, the next store is read.
  private func retrying(_ read: () throws(OpsError) -> Void) throws(OpsError) {
    var first: OpsError?
    while true {
      let at = state.withLock { $0.at }
      var known: SegmentList?
      do throws(OpsError) {
        known = try opened().segments
        return try read()
      } catch {
        if error.code == .notFound, let known, try wereReplaced(known) { continue }
        first = first ?? error
        guard [.storeDiverged, .notFound].contains(error.code) || error.store?.place != nil,
          useNext(after: at)
        else { throw first ?? error }
      }
    }
  }

  /// Whether other files replace these now.
  private func wereReplaced(_ known: SegmentList) throws(OpsError) -> Bool {
    state.withLock { ($0.opened, $0.idle) = (nil, [:]) }
    let list = try opened().segments
    return list.lastEntry >= known.lastEntry && list.segments != known.segments
  }

  /// Changes to the next store that has the required roots.
  ///
  /// - Returns: False if no such store is left.
  private func useNext(after at: Int) -> Bool {
    let isNext = state.withLock { state in
      // Another thread may have changed to it already.
      guard state.at == at else { return true }
      guard at + 1 < places.count else { return false }
      state.at = at + 1
      (state.opened, state.idle) = (nil, [:])
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
