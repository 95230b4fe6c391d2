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
      cause.store ?? StoreFault(.damaged), "\(cause.message): \(what); nothing was changed",
      hint:
        "put the file back from another copy of the store, or remove it if it does not belong there; "
        + "or --allow-loss --why W restores up to entry \(whole), and then pushes to a new store only",
      facts: cause.facts.merging(["last_stored": "\(last)"]) { old, _ in old })
  }
}

/// What a database lacks of what its stores have; looks and changes nothing.
///
/// It walks through the log once, from what has left the database on. Where a store's file is missing or
/// damaged, or does not go on from what was before, the other stores are asked: any good copy serves.
struct Survey {
  /// A store and its files.
  struct Source {
    let store: Store
    let list: SegmentList

    init(_ store: Store, _ list: SegmentList) {
      self.store = store
      self.list = list
    }
  }

  /// A segment of which events are missing.
  struct Missing {
    let store: Store
    let segment: SegmentList.Segment
    /// Those that can be had.
    let entries: ClosedRange<Int64>
    /// All of them are missing, and all of the segment can be had.
    let isWhole: Bool
  }

  let session: Session
  let sources: [Source]
  /// Whether it begins at the last root that the database has noted and a store has.
  private let goesOnFromKnown: Bool

  private(set) var missing: [Missing] = []
  private(set) var loss: StoreLoss?
  /// What was passed over, since another store has it, or since nothing needs it.
  private(set) var quarantined: [String] = []
  /// The last entry that can be had, the tree up to it, and its root.
  private(set) var lastEntry: Int64 = 0
  /// The last entry that an event says there is: up to the tip there may be numbers that nobody used.
  private(set) var proven: Int64 = 0
  private(set) var tree = MerkleFrontier()
  var root: Digest { tree.root(TreeHasher()) }
  /// The last root that the database has noted and a store has.
  private(set) var known: StoredRoot?
  /// The first entry that one side has and the other lacks, and the first that they have not alike.
  private(set) var firstMissing: Int64?
  private(set) var firstExtra: Int64?
  private(set) var firstOther: Int64?
  /// Entries that are not alike, the first of them.
  private(set) var others: [Int64] = []
  /// Both have an event alike, after the first that is missing.
  private var goesOnAlike = false
  /// The database has noted a store's root at its tip, and so has had all of it.
  private var hadAll = false
  static let othersMax = 20
  /// Where each segment that was used ends, and the tree there.
  private var ends: [Int64: Digest] = [:]

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
    return firstExtra > claimed && (hadAll || goesOnAlike) ? nil : differing
  }

  /// The first entry of the stores that the database lacks, or has otherwise.
  var firstForeign: Int64? { [firstMissing, firstOther].compactMap(\.self).min() }

  /// The last entry that the stores cover by the names of their files.
  var claimed: Int64 { sources.map(\.list.lastEntry).max() ?? 0 }

  init(_ session: Session, _ sources: [Source], goesOnFromKnown: Bool = false) {
    self.session = session
    self.sources = sources
    self.goesOnFromKnown = goesOnFromKnown
  }

  /// - Throws: Where no store that is needed is in reach; `OPS_015` where two stores of an empty database differ.
  consuming func run() throws(OpsError) -> Survey {
    known = try lastKnown()
    if goesOnFromKnown, let known {
      (lastEntry, tree) = (known.entry, known.frontier)
    } else if let start = try archivedPart() {
      (lastEntry, tree) = start
    }
    hadAll = known.map { $0.entry == claimed } ?? false
    while divergence == nil, loss == nil, try advance() {}
    if loss == nil, divergence == nil, lastEntry == claimed { loss = try missingNewest() }
    if firstExtra == nil { firstExtra = try session.firstEntry(from: lastEntry + 1, to: .max) }
    if known == nil { try requireAlike() }
    return self
  }

  /// Whether the database has events before the first that it lacks, and all of these are the stores' too.
  func hasCommonHistory() throws(OpsError) -> Bool {
    if known != nil { return true }
    let first = [firstMissing, firstExtra, firstOther].compactMap(\.self).min() ?? lastEntry + 1
    return try session.firstEntry(from: 0, to: first - 1) != nil
  }

  // MARK: Where it begins

  /// What has left the database is not missing: its root was noted, and a store must have that.
  private func archivedPart() throws(OpsError) -> (Int64, MerkleFrontier)? {
    guard let (last, root) = try session.archivedRoot() else { return nil }
    for source in sources {
      do throws(OpsError) {
        if let tree = try source.store.tree(source.list, at: last),
          tree.root(TreeHasher()).bytes == root
        {
          return (last, tree)
        }
      } catch { guard mayQuarantine(error) else { throw error } }
    }
    return nil
  }

  /// The last segment's end at which the database has noted the store's root.
  private func lastKnown() throws(OpsError) -> StoredRoot? {
    var last: StoredRoot?
    for source in sources {
      let found = try lastKnown(in: source)
      if let found, found.entry > last?.entry ?? -1 { last = found }
    }
    return last
  }

  private func lastKnown(in source: Source) throws(OpsError) -> StoredRoot? {
    let recorded = try session.recordedRoots(
      at: source.list.segments.map(\.name.entries.upperBound))
    for segment in source.list.segments.reversed()
    where recorded.contains(segment.name.entries.upperBound) {
      guard let known = try session.storedRoot(at: segment.name.entries.upperBound) else {
        continue
      }
      do throws(OpsError) {
        if try known.root == source.store.reader(of: segment).index.root { return known }
      } catch {
        // It is damaged: what comes before may be known as well.
        guard mayQuarantine(error) else { throw error }
      }
    }
    return nil
  }

  /// Whether another store, or an earlier file, may serve instead.
  private func mayQuarantine(_ error: OpsError) -> Bool {
    if error.store?.lost != nil { return true }
    return sources.count > 1
      && [.storeDiverged, .notFound, .notAllowed, .databaseUnreachable].contains(error.code)
      && error.store?.place != nil
  }

  // MARK: The walk

  private struct Failure {
    let source: Source
    let segment: SegmentList.Segment?
    let error: OpsError
    /// What cannot be had for it.
    let entries: ClosedRange<Int64>
  }

  /// Looks at the entries after the tip, in the first store that has all of a segment.
  ///
  /// - Returns: Whether there was one, and the tip is another now.
  private mutating func advance() throws(OpsError) -> Bool {
    let next = lastEntry + 1
    var failures: [Failure] = []
    for source in sources {
      guard let segment = source.list.segment(with: next) else {
        if let hole = source.list.holes.first(where: { $0.entries.contains(next) }) {
          failures.append(
            .init(source: source, segment: nil, error: hole.error, entries: hole.entries))
        }
        continue
      }
      let before = self
      do throws(OpsError) {
        try look(segment, source.store)
        pass(over: failures)
        return true
      } catch {
        self = before
        guard mayQuarantine(error) else { throw error }
        failures.append(
          .init(
            source: source, segment: segment, error: error,
            entries: error.store?.lost ?? next...segment.name.entries.upperBound))
      }
    }
    // Damage of what the database has itself is no loss.
    for failure in failures {
      let last = failure.segment?.name.entries.upperBound ?? failure.entries.upperBound
      if try has(next...last) {
        pass(over: failures)
        return true
      }
    }
    // Damage of a segment is what cannot be had; up to it everything can.
    let best = failures.filter { $0.segment != nil && $0.entries.lowerBound > next }
      .max { $0.entries.lowerBound < $1.entries.lowerBound }
    if let best, let segment = best.segment {
      try look(at: segment, next...(best.entries.lowerBound - 1), best.source.store)
      return true
    }
    guard let first = failures.first else { return false }
    if sources.count == 1, first.error.store?.lost == nil { throw first.error }
    loss = StoreLoss(entries: first.entries, last: claimed, cause: first.error)
    return false
  }

  /// Whether the database has what no store can give: its own events lead to the tree that a store's next segment goes
  /// on from, or that was noted at their end.
  private mutating func has(_ entries: ClosedRange<Int64>) throws(OpsError) -> Bool {
    let grown = try grown(entries).tree
    var isProven = try session.storedRoot(at: entries.upperBound)?.frontier == grown
    for source in sources where !isProven && entries.upperBound < EntryNumber.last {
      guard let next = source.list.segment(with: entries.upperBound + 1),
        next.name.entries.lowerBound == entries.upperBound + 1
      else { continue }
      isProven = (try? source.store.reader(of: next).index.before) == grown
    }
    guard isProven else { return false }
    (lastEntry, tree) = (entries.upperBound, grown)
    return true
  }

  /// The tree with the database's events of these entries, and a tree over these alone.
  private func grown(
    _ entries: ClosedRange<Int64>
  ) throws(OpsError) -> (tree: MerkleFrontier, own: MerkleFrontier) {
    let hasher = TreeHasher()
    var (tree, own) = (tree, MerkleFrontier())
    let lines = try LogLines(entries, on: try session.connection())
    while let next = try lines.nextLeaf() {
      tree.append(next.leaf, hasher)
      own.append(next.leaf, hasher)
    }
    return (tree, own)
  }

  private mutating func pass(over failures: [Failure]) {
    for failure in failures where !quarantined.contains(failure.error.message) {
      quarantined.append(failure.error.message)
    }
  }

  /// The entries after the tip, to the segment's end.
  private mutating func look(_ segment: SegmentList.Segment, _ store: Store) throws(OpsError) {
    let entries = (lastEntry + 1)...segment.name.entries.upperBound
    let reader = try store.reader(of: segment)
    guard try reader.frontier(upTo: lastEntry) == tree else {
      throw OpsError(
        store: .diverged,
        "\(segment.name.path) of \(store.files.place) does not go on from the segment before it",
        hint: "put the right file back from another copy of the store", at: store.files.place,
        file: segment.name.path, losing: entries)
    }
    if try session.firstEntry(from: entries.lowerBound, to: entries.upperBound) == nil {
      try reader.checkBytes()
      if reader.index.frames.contains(where: { $0.entries.overlaps(entries) }) {
        missing.append(
          Missing(
            store: store, segment: segment, entries: entries,
            isWhole: entries == segment.name.entries))
        firstMissing = firstMissing ?? entries.lowerBound
      }
      tree = reader.index.after
    } else {
      // Hashed alone, so that no root is believed but the one that its events have.
      let here = try grown(entries)
      if entries == segment.name.entries, here.own.root(TreeHasher()) == reader.index.ownRoot,
        here.own.size == reader.index.eventCount
      {
        if firstMissing != nil, here.own.size > 0 { goesOnAlike = true }
        tree = here.tree
      } else {
        // Frames that are compared are checked.
        try compare(segment, entries, store)
      }
      guard tree == reader.index.after else {
        throw OpsError(
          store: .damaged,
          "\(segment.name.path) of \(store.files.place) is damaged: its events are not those of "
            + "the roots that its index names",
          hint: "put it back from another copy of the store", at: store.files.place,
          file: segment.name.path, losing: entries)
      }
    }
    lastEntry = entries.upperBound
    if let last = reader.index.frames.last { proven = max(proven, last.entries.upperBound) }
    ends[lastEntry] = reader.index.root
  }

  /// A segment that is damaged behind these entries.
  private mutating func look(
    at segment: SegmentList.Segment, _ entries: ClosedRange<Int64>, _ store: Store
  ) throws(OpsError) {
    try compare(segment, entries, store)
    lastEntry = entries.upperBound
  }

  /// The tree goes on with the segment's events.
  private mutating func compare(
    _ segment: SegmentList.Segment, _ entries: ClosedRange<Int64>, _ store: Store
  ) throws(OpsError) {
    var (lacking, extra, others, last): (Int64?, Int64?, [Int64], Int64?) = (nil, nil, [], nil)
    var tree = tree
    let hasher = TreeHasher()
    let leaves: (Digest) -> Void = { tree.append($0, hasher) }
    try store.compare(segment, entries, session, leaves: leaves) { (difference) throws(OpsError) in
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
      missing.append(Missing(store: store, segment: segment, entries: entries, isWhole: false))
    }
    self.tree = tree
    // Segments are looked at in the order of their entries.
    firstMissing = firstMissing ?? lacking
    firstExtra = firstExtra ?? extra
    firstOther = firstOther ?? others.first
    self.others += others.prefix(Self.othersMax - min(self.others.count, Self.othersMax))
  }

  // MARK: Around it

  /// A snapshot of an entry that no segment has says that the newest segments are missing, unless the database has
  /// what they had. A snapshot that cannot be read says nothing.
  private mutating func missingNewest() throws(OpsError) -> StoreLoss? {
    let recorded = try session.highestEntries().recorded
    for source in sources {
      for snapshot in try source.store.snapshots().snapshots.reversed()
      where snapshot.name.entry > max(claimed, recorded) {
        let name = snapshot.name
        do throws(OpsError) { _ = try source.store.reader(of: snapshot) } catch {
          guard error.code == .storeDiverged else { throw error }
          quarantined.append(error.message)
          continue
        }
        let entries = claimed + 1...name.entry
        let cause = OpsError(
          store: .damaged,
          "\(name) of \(source.store.files.place) is of an entry that no segment has",
          losing: entries)
        return StoreLoss(entries: entries, last: name.entry, cause: cause)
      }
    }
    return nil
  }

  /// Nothing in an empty database says which of two stores is the right one.
  private func requireAlike() throws(OpsError) {
    for source in sources.dropFirst() {
      for segment in source.list.segments {
        guard let root = ends[segment.name.entries.upperBound],
          let index = try? source.store.reader(of: segment).index, index.root != root
        else { continue }
        throw OpsError(
          store: .diverged,
          "\(sources[0].store.files.place) and \(source.store.files.place) have other histories up to "
            + "entry \(segment.name.entries.upperBound)",
          hint: "name the one that is right")
      }
    }
  }
}

extension SegmentReader {
  /// The tree over the log up to an entry of this segment, or to the one before it.
  fileprivate func frontier(upTo entry: Int64) throws(OpsError) -> MerkleFrontier {
    var tree = index.before
    let entries = index.name.entries
    guard entry >= entries.lowerBound else { return tree }
    let (leaves, hasher) = (LeafHasher(), TreeHasher())
    try lines(of: entries.lowerBound...entry) { (_, event) throws(OpsError) in
      tree.append(try leaves.archivedLeaf(of: event), hasher)
    }
    return tree
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

extension Store {
  /// Walks through a segment and the database's log side by side: both are in the order of the log.
  ///
  /// Events are the same where their leaves are: content that was erased on one side makes no difference.
  ///
  /// - Parameter leaves: Gets the leaf of each of the segment's events.
  func compare(
    _ segment: SegmentList.Segment, _ entries: ClosedRange<Int64>, _ session: Session,
    leaves: (Digest) -> Void = { _ in }, _ each: (LineDifference) throws(OpsError) -> Void
  ) throws(OpsError) {
    let here = try LogLines(entries, on: try session.connection())
    var next = try here.nextLeaf()
    let hasher = LeafHasher()
    try reader(of: segment).lines(of: entries) { (line, event) throws(OpsError) in
      let position = EventPosition(event)
      let leaf = try hasher.archivedLeaf(of: event)
      leaves(leaf)
      while let mine = next, EventPosition(mine.event) < position {
        try each(.extra(EventPosition(mine.event)))
        next = try here.nextLeaf()
      }
      guard let mine = next, EventPosition(mine.event) == position else {
        return try each(.missing(line, position))
      }
      if mine.leaf != leaf { try each(.other(position)) }
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
      throw OpsError(store: .damaged, "entry \(event.entry) is none of the log's: \(error)")
    }
  }
}
