import Crypto
import Ledger
import Log

/// Entries that no store can give. Later entries cannot be put back without them.
public struct StoreLoss: Sendable {
  /// The missing or damaged entries.
  public let entries: ClosedRange<Int64>
  /// The last stored entry, by the names of the files.
  public let last: Int64
  let cause: OpsError

  /// The last entry before the loss.
  public var whole: Int64 { entries.lowerBound - 1 }

  /// The error of a restore that may not lose entries.
  var refusal: OpsError {
    var what = "entries \(entries.lowerBound) to \(entries.upperBound) cannot be had"
    if last > entries.upperBound { what += ", and the later ones up to \(last) need them" }
    return OpsError(
      cause.store ?? StoreFault(.damaged), "\(cause.message): \(what); nothing was changed",
      hint:
        "put the file back from another copy of the store, or remove it if it does not belong there. "
        + "--allow-loss --why W restores up to entry \(whole); after that, push to a new store",
      facts: cause.facts.merging(["last_stored": "\(last)"]) { old, _ in old })
  }
}

/// Finds the entries that a database lacks and its stores have. Changes nothing.
///
/// It reads the log once, after the archived entries. If a file of a store is missing or damaged, or does not continue
/// the entries before it, the survey reads the next store.
struct Survey {
  struct Source {
    let store: Store
    let list: SegmentList
  }

  /// A segment with events that the database lacks.
  struct Missing {
    let store: Store
    let segment: SegmentList.Segment
    /// The entries that the segment can give.
    let entries: ClosedRange<Int64>
    /// Whether the database lacks all of the segment, and all of it can be read.
    let isWhole: Bool
  }

  let session: Session
  let sources: [Source]
  /// Whether to begin at the last recorded root that a store has.
  private let goesOnFromKnown: Bool

  private(set) var missing: [Missing] = []
  private(set) var loss: StoreLoss?
  /// Faults of the stores that do not matter: another store has the file, or nothing needs it.
  private(set) var quarantined: [String] = []
  /// The last entry that a store or the database has, and the tree up to it.
  private(set) var lastEntry: Int64 = 0
  private(set) var tree = MerkleFrontier()
  var root: Digest { tree.root(TreeHasher()) }
  /// The last entry with an event. Later numbers up to `tip` may be unused.
  private(set) var proven: Int64 = 0
  /// The last recorded root that a store has.
  private(set) var known: StoredRoot?
  /// The first entry that the database lacks, the first that the stores lack, and the first that differs in both.
  private(set) var firstMissing: Int64?
  private(set) var firstExtra: Int64?
  var firstOther: Int64? { others.first }
  /// The first entries that differ in both.
  private(set) var others: [Int64] = []
  /// Whether an event after the first missing one is the same in both.
  private var goesOnAlike = false
  /// Whether the database has had all stored entries: it has recorded the root at the last one.
  private var hadAll = false
  static let othersMax = 20
  /// The root at the end of each segment that was used.
  private var ends: [Int64: Digest] = [:]

  /// Whether the database has entries that the store lacks.
  var isAhead: Bool { firstExtra != nil }

  var firstDifference: Int64? { [firstMissing, firstExtra, firstOther].compactMap(\.self).min() }

  /// The first entry that differs, if the histories diverged.
  ///
  /// A database that has had all stored entries, or agrees with the store after the missing ones, lost entries and then
  /// recorded more. That is no divergence: it gets them back.
  var divergence: Int64? {
    if firstOther != nil { return firstDifference }
    guard firstMissing != nil, let firstExtra else { return nil }
    return firstExtra > claimed && (hadAll || goesOnAlike) ? nil : firstDifference
  }

  /// The first stored entry that the database lacks, or that differs there.
  var firstForeign: Int64? { [firstMissing, firstOther].compactMap(\.self).min() }

  /// The last stored entry, by the names of the files.
  var claimed: Int64 { sources.map(\.list.lastEntry).max() ?? 0 }

  init(_ session: Session, _ sources: [Source], goesOnFromKnown: Bool = false) {
    self.session = session
    self.sources = sources
    self.goesOnFromKnown = goesOnFromKnown
  }

  /// - Throws: If a store that is needed cannot be reached; `OPS_015` if two stores of an empty database differ.
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

  /// Whether the database and the stores begin with the same events.
  func hasCommonHistory() throws(OpsError) -> Bool {
    if known != nil { return true }
    return try session.firstEntry(from: 0, to: (firstDifference ?? lastEntry + 1) - 1) != nil
  }

  // MARK: The first entry to compare

  /// The last archived entry and the tree up to it, from a store that has the recorded root there.
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

  /// The last recorded root that is the root at the end of a store's segment.
  private func lastKnown() throws(OpsError) -> StoredRoot? {
    try sources.map { (source) throws(OpsError) in try lastKnown(in: source) }
      .compactMap(\.self).max { $0.entry < $1.entry }
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
        // The segment is damaged: an earlier root may do.
        guard mayQuarantine(error) else { throw error }
      }
    }
    return nil
  }

  /// Whether another store, or an earlier file, may do instead.
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
    /// The entries that the failure makes unavailable.
    let entries: ClosedRange<Int64>
  }

  /// Compares the next segment, in the first store that has all of it.
  ///
  /// - Returns: Whether `tip` has changed.
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
    // A damaged segment is no loss if the database has its entries.
    for failure in failures {
      let last = failure.segment?.name.entries.upperBound ?? failure.entries.upperBound
      if try has(next...last) {
        pass(over: failures)
        return true
      }
    }
    // A segment can be used up to its damaged frame.
    let best = failures.filter { $0.segment != nil && $0.entries.lowerBound > next }
      .max { $0.entries.lowerBound < $1.entries.lowerBound }
    if let best, let segment = best.segment {
      lastEntry = best.entries.lowerBound - 1
      try compare(segment, next...lastEntry, best.source.store)
      return true
    }
    guard let first = failures.first else { return false }
    if sources.count == 1, first.error.store?.lost == nil { throw first.error }
    loss = StoreLoss(entries: first.entries, last: claimed, cause: first.error)
    return false
  }

  /// Whether the database has entries that no store can give. Its tree over them must be the one that a store's next
  /// segment continues, or the recorded one.
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

  /// The tree with the database's events of these entries, and a tree over these events alone.
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

  /// Compares the entries after `tip`, up to the segment's end.
  private mutating func look(_ segment: SegmentList.Segment, _ store: Store) throws(OpsError) {
    let entries = (lastEntry + 1)...segment.name.entries.upperBound
    let reader = try store.reader(of: segment)
    guard try reader.tree(upTo: lastEntry) == tree else {
      throw OpsError(
        store: .diverged,
        "\(segment.name.path) of \(store.files.place) does not continue the segment before it",
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
      // Hashes these events alone: the index of a segment proves nothing.
      let here = try grown(entries)
      if entries == segment.name.entries, here.own.root(TreeHasher()) == reader.index.ownRoot,
        here.own.size == reader.index.eventCount
      {
        if firstMissing != nil, here.own.size > 0 { goesOnAlike = true }
        tree = here.tree
      } else {
        try compare(segment, entries, store)
      }
      guard tree == reader.index.after else {
        throw OpsError(
          store: .damaged,
          "\(segment.name.path) of \(store.files.place) is damaged: its events do not match the "
            + "Merkle roots in its index",
          hint: "put the file back from another copy of the store", at: store.files.place,
          file: segment.name.path, losing: entries)
      }
    }
    lastEntry = entries.upperBound
    if let last = reader.index.frames.last { proven = max(proven, last.entries.upperBound) }
    ends[lastEntry] = reader.index.root
  }

  /// Compares events, and appends those of the segment to the tree.
  private mutating func compare(
    _ segment: SegmentList.Segment, _ entries: ClosedRange<Int64>, _ store: Store
  ) throws(OpsError) {
    var (lacking, last): (Int64?, Int64?) = (nil, nil)
    var tree = tree
    let hasher = TreeHasher()
    let leaves: (Digest) -> Void = { tree.append($0, hasher) }
    try store.compare(segment, entries, session, leaves: leaves) { (difference) throws(OpsError) in
      switch difference {
      case .missing(_, let position):
        lacking = lacking ?? position.entry
        last = position.entry
      case .extra(let position): firstExtra = firstExtra ?? position.entry
      case .other(let position):
        if others.count < Self.othersMax, others.last != position.entry {
          others.append(position.entry)
        }
      }
    }
    self.tree = tree
    if let last, try session.firstEntry(from: last + 1, to: entries.upperBound) != nil {
      goesOnAlike = true
    }
    guard let lacking else { return }
    missing.append(Missing(store: store, segment: segment, entries: entries, isWhole: false))
    firstMissing = firstMissing ?? lacking
  }

  /// The loss of the newest segments: a snapshot is of an entry that no segment and not the database has. A snapshot
  /// that cannot be read proves nothing.
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
          "\(name) of \(source.store.files.place) is of entry \(name.entry), which no "
            + "segment has: the newest segments are missing",
          losing: entries)
        return StoreLoss(entries: entries, last: name.entry, cause: cause)
      }
    }
    return nil
  }

  /// An empty database cannot tell which of two different stores is right.
  private func requireAlike() throws(OpsError) {
    for source in sources.dropFirst() {
      for segment in source.list.segments {
        guard let root = ends[segment.name.entries.upperBound],
          let index = try? source.store.reader(of: segment).index, index.root != root
        else { continue }
        throw OpsError(
          store: .diverged,
          "\(sources[0].store.files.place) and \(source.store.files.place) have different histories up to "
            + "entry \(segment.name.entries.upperBound)",
          hint: "name the right store only")
      }
    }
  }
}

extension SegmentReader {
  /// The tree over the log up to an entry of this segment, or up to the entry before it.
  func tree(upTo entry: Int64) throws(OpsError) -> MerkleFrontier {
    var tree = index.before
    let entries = index.name.entries
    if entry == entries.upperBound { return index.after }
    guard entry >= entries.lowerBound else { return tree }
    let (leaves, hasher) = (LeafHasher(), TreeHasher())
    try lines(of: entries.lowerBound...entry) { (_, event) throws(OpsError) in
      tree.append(try leaves.archivedLeaf(of: event), hasher)
    }
    return tree
  }
}

enum LineDifference {
  /// The database lacks this line.
  case missing(UnsafeRawBufferPointer, LinePosition)
  /// The segment lacks this event.
  case extra(LinePosition)
  /// Both have an event there, and not the same.
  case other(LinePosition)

  var entry: Int64 {
    switch self {
    case .missing(_, let position), .extra(let position), .other(let position): position.entry
    }
  }
}

extension Store {
  /// Compares a segment with the database's log, event by event. Erased content makes no difference: it does not change a
  /// leaf.
  ///
  /// - Parameter leaves: Gets the leaf of each event of the segment.
  func compare(
    _ segment: SegmentList.Segment, _ entries: ClosedRange<Int64>, _ session: Session,
    leaves: (Digest) -> Void = { _ in }, _ each: (LineDifference) throws(OpsError) -> Void
  ) throws(OpsError) {
    let here = try LogLines(entries, on: try session.connection())
    var next = try here.nextLeaf()
    let hasher = LeafHasher()
    try reader(of: segment).lines(of: entries) { (line, event) throws(OpsError) in
      let position = LinePosition(event)
      let leaf = try hasher.archivedLeaf(of: event)
      leaves(leaf)
      while let mine = next, LinePosition(mine.event) < position {
        try each(.extra(LinePosition(mine.event)))
        next = try here.nextLeaf()
      }
      guard let mine = next, LinePosition(mine.event) == position else {
        return try each(.missing(line, position))
      }
      if mine.leaf != leaf { try each(.other(position)) }
      next = try here.nextLeaf()
    }
    while let mine = next {
      try each(.extra(LinePosition(mine.event)))
      next = try here.nextLeaf()
    }
  }
}

extension LeafHasher {
  func archivedLeaf(of event: EventLine) throws(OpsError) -> Digest {
    do { return try leaf(of: event) } catch {
      throw OpsError(
        store: .damaged, "an event of entry \(event.entry) in the store cannot be hashed: \(error)",
        hint: "`opsledger archive verify` names the segment")
    }
  }
}
