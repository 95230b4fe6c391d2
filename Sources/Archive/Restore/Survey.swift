import Crypto
import Ledger
import Log

/// What a database lacks of what its store has; looks and changes nothing.
struct Survey {
  /// A segment of which events are missing: all, or some.
  struct Missing {
    let segment: SegmentList.Segment
    let isWhole: Bool
  }

  let session: Session
  let store: Store
  let list: SegmentList

  private(set) var missing: [Missing] = []
  /// The tree up to the store's tip, and its root.
  private(set) var tree = MerkleFrontier()
  private(set) var root = TreeHasher.emptyRoot
  /// The first entry that one side has and the other lacks.
  private var firstMissing: Int64?
  private var firstExtra: Int64?

  /// The database has entries that the store has not.
  var isAhead: Bool { firstExtra != nil }

  init(_ session: Session, _ store: Store, _ list: SegmentList) {
    self.session = session
    self.store = store
    self.list = list
  }

  /// - Throws: `OPS_015` where both have what the other lacks.
  consuming func run() throws(OpsError) -> Survey {
    guard let last = list.segments.last else { return self }
    let tip = try store.reader(of: last).index
    (tree, root) = (tip.after, tip.root)
    for segment in list.segments[try firstUnknown()...] { try look(segment) }
    if firstExtra == nil { firstExtra = try session.firstEntry(from: list.tip + 1, to: .max) }
    if let extra = firstExtra, let lacking = firstMissing { throw diverged(min(extra, lacking)) }
    return self
  }

  /// The first segment at whose end the database has not noted the store's root. What has left the database had
  /// its root noted first, and is not missing.
  private func firstUnknown() throws(OpsError) -> Int {
    for (at, segment) in list.segments.enumerated().reversed() {
      guard let known = try session.storedRoot(at: segment.name.entries.upperBound) else {
        continue
      }
      if try known.root == store.reader(of: segment).index.root { return at + 1 }
    }
    return 0
  }

  private mutating func look(_ segment: SegmentList.Segment) throws(OpsError) {
    let entries = segment.name.entries
    guard try session.firstEntry(from: entries.lowerBound, to: entries.upperBound) != nil else {
      guard try store.reader(of: segment).index.eventCount > 0 else { return }
      missing.append(Missing(segment: segment, isWhole: true))
      firstMissing = min(firstMissing ?? .max, entries.lowerBound)
      return
    }
    var (lacking, extra) = (firstMissing, firstExtra)
    try store.compare(segment, session) { (difference) throws(OpsError) in
      switch difference {
      case .missing(_, let position): lacking = min(lacking ?? .max, position.entry)
      case .extra(let position): extra = min(extra ?? .max, position.entry)
      case .other(let position): throw self.diverged(position.entry)
      }
    }
    if lacking != firstMissing { missing.append(Missing(segment: segment, isWhole: false)) }
    (firstMissing, firstExtra) = (lacking, extra)
  }

  private func diverged(_ entry: Int64) -> OpsError {
    OpsError(
      .storeDiverged,
      "the database and \(store.files.place) went on apart: they differ first at entry \(entry)",
      hint:
        "nothing can be merged: `opsledger archive fork` lets this database go on in a new store",
      facts: ["entry": String(entry)])
  }
}

/// Where an event stands in the log.
struct EventPosition: Comparable {
  let entry: Int64
  let index: Int32

  init(_ event: EventLine) { (entry, index) = (event.entry, event.index) }

  static func < (a: EventPosition, b: EventPosition) -> Bool {
    (a.entry, a.index) < (b.entry, b.index)
  }
}

/// Where a database and a segment differ.
enum LineDifference {
  /// The database lacks this line.
  case missing(UnsafeRawBufferPointer, EventPosition)
  /// The database has an event that the segment lacks.
  case extra(EventPosition)
  /// Both have one, and not the same.
  case other(EventPosition)
}

extension Store {
  /// Walks through a segment and the database's log side by side: both are in the order of the log.
  ///
  /// Events are the same where their leaves are: content that was erased on one side makes no difference.
  func compare(
    _ segment: SegmentList.Segment, _ session: Session,
    _ each: (LineDifference) throws(OpsError) -> Void
  ) throws(OpsError) {
    let entries = segment.name.entries
    let here = try LogLines(entries, on: try session.connection())
    var next = try here.nextLeaf()
    let hasher = LeafHasher()
    try reader(of: segment).lines(of: entries) { (line, event) throws(OpsError) in
      let position = EventPosition(event)
      while let mine = next, EventPosition(mine.event) < position {
        try each(.extra(EventPosition(mine.event)))
        next = try here.nextLeaf()
      }
      guard let mine = next, EventPosition(mine.event) == position else {
        return try each(.missing(line, position))
      }
      if try mine.leaf != hasher.archivedLeaf(of: event) { try each(.other(position)) }
      next = try here.nextLeaf()
    }
    while let mine = next {
      try each(.extra(EventPosition(mine.event)))
      next = try here.nextLeaf()
    }
  }
}

extension LeafHasher {
  fileprivate func archivedLeaf(of event: EventLine) throws(OpsError) -> Digest {
    do { return try leaf(of: event) } catch {
      throw OpsError(.storeDiverged, "entry \(event.entry) is none of the log's: \(error)")
    }
  }
}
