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
  /// Entries that are not alike, the first of them.
  private(set) var others: [Int64] = []
  /// Both have an event alike, after the first that is missing.
  private var goesOnAlike = false
  /// The database has noted the store's root at its tip, and so has had all of it.
  private var hadAll = false
  static let othersMax = 20

  /// The database has entries that the store has not.
  var isAhead: Bool { firstExtra != nil }

  /// The first entry that differs, where both have what the other lacks, and neither had the other's.
  ///
  /// A database that has had all of the store, or goes on with it after what is missing, lost that, and went on: it gets
  /// it back.
  var divergence: Int64? {
    let differing = [firstMissing, firstExtra, firstOther].compactMap(\.self).min()
    if firstOther != nil { return differing }
    guard firstMissing != nil, let firstExtra else { return nil }
    return firstExtra > list.tip && (hadAll || goesOnAlike) ? nil : differing
  }

  init(_ session: Session, _ store: Store, _ list: SegmentList) {
    self.session = session
    self.store = store
    self.list = list
  }

  /// - Throws: Where the store is out of reach, or another ledger's.
  consuming func run() throws(OpsError) -> Survey {
    if let start = try departed() { (tip, tree) = start }
    hadAll = try session.storedRoot(at: list.tip)?.root == root(at: list.tip)
    for segment in list.segments where segment.name.entries.lowerBound > tip {
      guard divergence == nil, loss == nil else { break }
      let first = segment.name.entries.lowerBound
      if first > tip + 1, try !has(tip + 1...first - 1) { break }
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

  /// What has left the database is not missing: its root was noted, and the store must have that.
  private func departed() throws(OpsError) -> (Int64, MerkleFrontier)? {
    guard let (last, root) = try session.departedRoot(),
      let tree = try damaged({ () throws(OpsError) in try store.tree(list, at: last) }),
      tree.root(TreeHasher()).bytes == root
    else { return nil }
    return (last, tree)
  }

  private func root(at entry: Int64) throws(OpsError) -> Digest? {
    try damaged({ () throws(OpsError) in try store.tree(list, at: entry) })?
      .root(TreeHasher())
  }

  /// Nil where the file that tells is damaged.
  private func damaged<R>(_ read: () throws(OpsError) -> R?) throws(OpsError) -> R? {
    do throws(OpsError) { return try read() } catch {
      guard error.lostEntries != nil else { throw error }
      return nil
    }
  }

  /// Damage of a segment is what cannot be had; up to it everything can.
  private mutating func noting(
    _ segment: SegmentList.Segment, _ body: (inout Survey) throws(OpsError) -> Void
  ) throws(OpsError) {
    let before = tree
    do throws(OpsError) { try body(&self) } catch {
      guard let entries = error.lostEntries else { throw error }
      tree = before
      // Damage of what the database has itself is no loss.
      if missing.last?.segment != segment, try has(segment.name.entries) { return }
      loss = StoreLoss(entries: entries, last: list.tip, cause: error)
      tree = before
      let first = segment.name.entries.lowerBound
      guard entries.lowerBound > first else { return }
      try look(at: segment, first...(entries.lowerBound - 1))
    }
  }

  /// Whether the database has what the store cannot give: its own events lead to the tree that the next segment goes on
  /// from, or that was noted at their end.
  private mutating func has(_ entries: ClosedRange<Int64>) throws(OpsError) -> Bool {
    let hasher = TreeHasher()
    var grown = tree
    let lines = try LogLines(entries, on: try session.connection())
    while let next = try lines.nextLeaf() { grown.append(next.leaf, hasher) }
    let next = list.segments.first { $0.name.entries.lowerBound == entries.upperBound + 1 }
    let goesOn = try damaged { () throws(OpsError) in
      try next.map { (next) throws(OpsError) in try store.reader(of: next).index.before }
    }
    let noted = try session.storedRoot(at: entries.upperBound)?.frontier
    guard grown == goesOn || grown == noted else { return false }
    (tip, tree) = (entries.upperBound, grown)
    return true
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
      // Hashed alone, so that no root is believed but the one that its events have.
      let own = try session.ownTree(of: entries)
      if own.root(TreeHasher()) == reader.index.ownRoot, own.size == reader.index.eventCount {
        if firstMissing != nil, own.size > 0 { goesOnAlike = true }
      } else {
        // Frames that are compared are checked.
        try compare(segment, entries)
      }
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
    var (lacking, extra, others, last): (Int64?, Int64?, [Int64], Int64?) = (nil, nil, [], nil)
    try store.compare(segment, entries, session) { (difference) throws(OpsError) in
      switch difference {
      case .missing(_, let position):
        lacking = lacking ?? position.entry
        last = position.entry
      case .extra(let position): extra = extra ?? position.entry
      case .other(let position):
        if others.last != position.entry { others.append(position.entry) }
      }
    }
    if let last, try session.firstEntry(from: last + 1, to: entries.upperBound) != nil {
      goesOnAlike = true
    }
    if lacking != nil {
      missing.append(Missing(segment: segment, entries: entries, isWhole: false))
    }
    // Segments are looked at in the order of their entries.
    firstMissing = firstMissing ?? lacking
    firstExtra = firstExtra ?? extra
    firstOther = firstOther ?? others.first
    self.others += others.prefix(Self.othersMax - min(self.others.count, Self.othersMax))
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

  var entry: Int64 {
    switch self {
    case .missing(_, let position), .extra(let position), .other(let position): position.entry
    }
  }
}

extension Session {
  /// A tree over the events of these entries alone.
  func ownTree(of entries: ClosedRange<Int64>) throws(OpsError) -> MerkleFrontier {
    let hasher = TreeHasher()
    var tree = MerkleFrontier()
    let lines = try LogLines(entries, on: try connection())
    while let next = try lines.nextLeaf() { tree.append(next.leaf, hasher) }
    return tree
  }
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
