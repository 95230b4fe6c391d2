import Crypto
import Ledger
import Log

/// Entries that cannot be had from a store, and with them none of those that come after.
public struct StoreLoss: Sendable {
  /// Missing or damaged.
  public let entries: ClosedRange<Int64>
  /// The last that the store covers, by the names of its files.
  public let last: Int64
  let cause: OpsError

  /// Everything up to here can be had.
  public var whole: Int64 { entries.lowerBound - 1 }

  /// What is wrong, and what would be lost.
  var refusal: OpsError {
    var what = "entries \(entries.lowerBound) to \(entries.upperBound) cannot be had"
    if last > entries.upperBound {
      what += ", and those from there to \(last) cannot be put back without them"
    }
    return OpsError(
      .storeDiverged, "\(cause.message): \(what); nothing was changed",
      hint: "put the file back from another copy of the store; or --allow-loss --why W restores up "
        + "to entry \(whole), and then pushes to a new store only",
      facts: cause.facts.merging(["last_stored": "\(last)"]) { old, _ in old })
  }
}

/// What a database lacks of what its store has; looks and changes nothing.
struct Survey {
  /// A segment of which events are missing.
  struct Missing {
    let segment: SegmentList.Segment
    /// Those that can be had.
    let entries: ClosedRange<Int64>
    /// All of them are missing, and all of the segment can be had.
    let isWhole: Bool
  }

  let session: Session
  let store: Store
  let list: SegmentList

  private(set) var missing: [Missing] = []
  private(set) var loss: StoreLoss?
  /// The last entry that can be had, the tree up to it, and its root.
  private(set) var tip: Int64 = 0
  private(set) var tree = MerkleFrontier()
  var root: Digest { tree.root(TreeHasher()) }
  /// The first entry that one side has and the other lacks, and the first that they have not alike.
  private(set) var firstMissing: Int64?
  private(set) var firstExtra: Int64?
  private(set) var firstOther: Int64?

  /// The database has entries that the store has not.
  var isAhead: Bool { firstExtra != nil }

  /// The first entry that differs, where both have what the other lacks.
  var divergence: Int64? {
    let differing = [firstMissing, firstExtra, firstOther].compactMap(\.self).min()
    return firstOther != nil || firstMissing != nil && firstExtra != nil ? differing : nil
  }

  init(_ session: Session, _ store: Store, _ list: SegmentList) {
    self.session = session
    self.store = store
    self.list = list
  }

  /// - Throws: Where the store is out of reach, or another ledger's.
  consuming func run() throws(OpsError) -> Survey {
    let known = try lastKnown()
    if let known { (tip, tree) = (known.entry, known.frontier) }
    for segment in list.segments where segment.name.entries.lowerBound > tip {
      guard divergence == nil, loss == nil else { break }
      if segment.name.entries.lowerBound > tip + 1 { break }
      try noting(segment) { (survey) throws(OpsError) in
        try survey.look(segment)
      }
    }
    let next = tip + 1
    if loss == nil, divergence == nil,
      let hole = list.holes.first(where: { $0.entries.contains(next) })
    {
      loss = StoreLoss(entries: hole.entries, last: list.tip, cause: hole.error)
    }
    if loss == nil, divergence == nil, tip == list.tip { loss = try missingNewest() }
    if firstExtra == nil { firstExtra = try session.firstEntry(from: next, to: .max) }
    return self
  }

  /// A snapshot of an entry that no segment has says that the newest segments are missing, unless the database has
  /// what they had.
  private func missingNewest() throws(OpsError) -> StoreLoss? {
    let snapshots = try store.snapshots().snapshots
    guard let newest = snapshots.max(by: { $0.name.entry < $1.name.entry }),
      newest.name.entry > max(list.tip, try session.highestEntries().recorded)
    else { return nil }
    let entries = list.tip + 1...newest.name.entry
    let cause = OpsError(
      .storeDiverged, "\(newest.name) of \(store.files.place) is of an entry that no segment has"
    ).losing(entries)
    return StoreLoss(entries: entries, last: newest.name.entry, cause: cause)
  }

  /// The last segment's end at which the database has noted the store's root. What has left the database had its
  /// root noted first, and is not missing.
  private func lastKnown() throws(OpsError) -> StoredRoot? {
    for segment in list.segments.reversed() {
      guard let known = try session.storedRoot(at: segment.name.entries.upperBound) else {
        continue
      }
      do throws(OpsError) {
        if try known.root == store.reader(of: segment).index.root { return known }
      } catch {
        // It is damaged: what comes before may be known as well.
        guard error.lostEntries != nil else { throw error }
      }
    }
    return nil
  }

  /// Damage of a segment is what cannot be had; up to it everything can.
  private mutating func noting(
    _ segment: SegmentList.Segment, _ body: (inout Survey) throws(OpsError) -> Void
  ) throws(OpsError) {
    let before = tree
    do throws(OpsError) { try body(&self) } catch {
      guard let entries = error.lostEntries else { throw error }
      loss = StoreLoss(entries: entries, last: list.tip, cause: error)
      tree = before
      let first = segment.name.entries.lowerBound
      guard entries.lowerBound > first else { return }
      try look(at: segment, first...(entries.lowerBound - 1))
    }
  }

  private mutating func look(_ segment: SegmentList.Segment) throws(OpsError) {
    let entries = segment.name.entries
    let reader = try store.reader(of: segment)
    guard reader.index.before == tree else {
      throw OpsError(
        .storeDiverged,
        "\(segment.name.path) of \(store.files.place) does not go on from the segment before it",
        hint: "put the right file back from another copy of the store"
      ).losing(entries)
    }
    if try session.firstEntry(from: entries.lowerBound, to: entries.upperBound) == nil {
      try reader.checkBytes()
      if reader.index.eventCount > 0 {
        missing.append(Missing(segment: segment, entries: entries, isWhole: true))
        firstMissing = firstMissing ?? entries.lowerBound
      }
    } else {
      // Frames that are compared are checked.
      try compare(segment, entries)
    }
    (tip, tree) = (entries.upperBound, reader.index.after)
  }

  /// A segment that is damaged behind these entries.
  private mutating func look(
    at segment: SegmentList.Segment, _ entries: ClosedRange<Int64>
  ) throws(OpsError) {
    let (tree, leaves) = (TreeHasher(), LeafHasher())
    try store.reader(of: segment).lines(of: entries) { (_, event) throws(OpsError) in
      self.tree.append(try leaves.archivedLeaf(of: event), tree)
    }
    try compare(segment, entries)
    tip = entries.upperBound
  }

  private mutating func compare(
    _ segment: SegmentList.Segment, _ entries: ClosedRange<Int64>
  ) throws(OpsError) {
    var (lacking, extra, other): (Int64?, Int64?, Int64?)
    try store.compare(segment, entries, session) { (difference) throws(OpsError) in
      switch difference {
      case .missing(_, let position): lacking = lacking ?? position.entry
      case .extra(let position): extra = extra ?? position.entry
      case .other(let position): other = other ?? position.entry
      }
    }
    if lacking != nil {
      missing.append(Missing(segment: segment, entries: entries, isWhole: false))
    }
    // Segments are looked at in the order of their entries.
    firstMissing = firstMissing ?? lacking
    firstExtra = firstExtra ?? extra
    firstOther = firstOther ?? other
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
    _ segment: SegmentList.Segment, _ entries: ClosedRange<Int64>, _ session: Session,
    _ each: (LineDifference) throws(OpsError) -> Void
  ) throws(OpsError) {
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
  /// Of an event of a segment.
  func archivedLeaf(of event: EventLine) throws(OpsError) -> Digest {
    do { return try leaf(of: event) } catch {
      throw OpsError(.storeDiverged, "entry \(event.entry) is none of the log's: \(error)")
    }
  }
}
