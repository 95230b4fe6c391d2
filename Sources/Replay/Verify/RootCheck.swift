package import Crypto
public import Ledger
public import Log
import Postgres

/// The tree over the log up to an entry, as somebody noted it: the database when it pushed, or a store's segment.
public struct RecordedRoot: Sendable {
  public let entry: Int64
  package let root: Digest
  /// Nil where what was kept is not the frontier of a tree.
  package let frontier: MerkleFrontier?

  package init(entry: Int64, root: Digest, frontier: MerkleFrontier?) {
    self.entry = entry
    self.root = root
    self.frontier = frontier
  }
}

/// A store, as `verify` compares the log with it.
public protocol StoredHistory: Sendable {
  var place: String { get }

  /// The tree at the end of each segment, in the order of the log.
  func roots() throws(OpsError) -> [RecordedRoot]

  /// The first of these entries that the database and the store have differently, or one of them has not; nil where
  /// they are the same.
  func firstDifference(
    _ entries: ClosedRange<Int64>, _ session: Session
  ) throws(OpsError) -> Int64?
}

/// A store that could not be read, or not to its end.
public struct UnreadStore: Sendable {
  public let place: String
  public let error: OpsError

  public init(place: String, error: OpsError) { (self.place, self.error) = (place, error) }

  fileprivate init(_ store: any StoredHistory, _ error: OpsError) {
    self.init(place: store.place, error: error)
  }
}

/// Hashes the log that the database holds, in its order, and compares the tree with every root that the database and
/// its stores have noted.
///
/// A noted root that the log does not have, and a later one that it has: then that row of `ledger.checkpoints` is
/// wrong, and not the log. Without a later one the log is taken to be wrong.
struct RootCheck {
  /// Entries whose events do not hash to what was noted at their end.
  fileprivate struct Stretch {
    let after: Int64
    let recorded: RecordedRoot
    /// The log's tree there.
    let found: MerkleFrontier
  }

  /// What one source noted, compared as far as the log was read.
  private struct Track {
    /// Nil: the database's own checkpoints.
    let store: (any StoredHistory)?
    var stretches: [Stretch] = []
    /// The database's own that follow from one that differed: of those the entry is enough.
    var followers: [WrongRow] = []
    /// Grown on from the last noted root that differed: what was noted after it differs for the same reason.
    var resumed: MerkleFrontier?
    var last: Int64
  }

  /// A row of `ledger.checkpoints` that the log proves wrong, and what it should be.
  struct WrongRow {
    let entry: Int64
    let recorded: Digest
    /// Nil where the row is taken off.
    let tree: MerkleFrontier?
  }

  /// Roots that were compared.
  private(set) var compared = 0
  /// Up to this entry the log has a root that was noted.
  private(set) var proven: Int64 = 0
  private(set) var problems: [LogProblem] = []
  private(set) var wrongRows: [WrongRow] = []
  private(set) var unread: [UnreadStore] = []

  private let hasher = TreeHasher()
  private var gone = GoneContent()
  private var tree: MerkleFrontier
  private var tracks: [Track]
  private var queues: [RootQueue]
  /// No later entry can have been noted.
  private let allocated: Int64

  /// Hashes the log as a snapshot sees it.
  static func run(
    _ target: Session.Target, snapshot: String, _ stores: [any StoredHistory] = []
  ) throws(OpsError) -> RootCheck {
    let session = try Session(target)
    let lines = try SharedSnapshot.join(snapshot, session)
    var check = try RootCheck(lines, stores)
    try check.read(lines)
    // Behind a pooler what is asked of a store would wait for the transaction's end.
    session.drop()
    try check.finish(session)
    return check
  }

  private init(_ lines: LogReader, _ stores: [any StoredHistory]) throws(OpsError) {
    let first = lines.archivedLast
    allocated = try onDatabase { () throws(PostgresError) in
      try lines.connection.query(Self.lastAllocated).int8(0, 0)
    }
    var queues = [RootQueue(after: first)]
    var start: MerkleFrontier?
    var readable: [any StoredHistory] = []
    for store in stores {
      let roots: [RecordedRoot]
      do throws(OpsError) { roots = try store.roots() } catch {
        unread.append(UnreadStore(store, error))
        continue
      }
      readable.append(store)
      // The store that the log's beginning left for knows the tree there; `require` has compared its root.
      start = start ?? roots.first { $0.entry == first }?.frontier
      queues.append(RootQueue(roots.filter { $0.entry > first }))
    }
    if first > 0, start == nil { start = try lines.archivedTree() }
    self.queues = queues
    tracks = ([nil] + readable.map { Optional($0) }).map { Track(store: $0, last: first) }
    tree = start ?? MerkleFrontier()
    // Without the tree before the first event here nothing can be said.
    if first > 0, start == nil { self.queues = [] }
  }

  /// A sequence that was set back does not make roots of later entries wrong.
  private static let lastAllocated = Statement(
    """
    SELECT greatest(pg_sequence_last_value('ledger.entry_sequence'),
      (SELECT max(e.entry) FROM ledger.events AS e), 0)
    """)

  /// Some thousand noted roots, then the log's lines up to the last of them: one connection gives both.
  private mutating func read(_ reader: LogReader) throws(OpsError) {
    if queues.isEmpty { return }
    var first = reader.archivedLast + 1
    while let last = try queues[0].fill(reader.connection) {
      try read(first...last, reader.connection)
      first = last + 1
    }
    try read(first...Int64.max, reader.connection)
  }

  private mutating func read(
    _ entries: ClosedRange<Int64>, _ connection: Connection
  ) throws(OpsError) {
    let lines = try LogLines(entries, on: connection)
    var next = nextRecorded(upTo: entries.upperBound)
    while let (lineEntry, leaf) = try nextLeaf(lines) {
      while let entry = next, entry < lineEntry {
        compare(at: entry)
        next = nextRecorded(upTo: entries.upperBound)
      }
      tree.append(leaf, hasher)
      for index in tracks.indices { tracks[index].resumed?.append(leaf, hasher) }
    }
    while let entry = next {
      compare(at: entry)
      next = nextRecorded(upTo: entries.upperBound)
    }
  }

  /// The next event's entry and leaf: of one that cannot have been recorded so, none that any root was made of.
  private mutating func nextLeaf(_ lines: LogLines) throws(OpsError) -> (Int64, Digest)? {
    do throws(OpsError) {
      guard let next = try lines.nextLeaf() else { return nil }
      gone.note(next.event)
      return (next.event.entry, next.leaf)
    } catch {
      guard case .unreadableLine(let entry, let fault) = error.cause else { throw error }
      problems.append(LogProblem(entry: entry, .unreadable(fault)))
      return (entry, .zero)
    }
  }

  private func nextRecorded(upTo last: Int64) -> Int64? {
    queues.compactMap { $0.first?.entry }.filter { $0 <= last }.min()
  }

  private mutating func compare(at entry: Int64) {
    let root = tree.root(hasher)
    for index in queues.indices {
      guard let recorded = queues[index].first, recorded.entry == entry else { continue }
      queues[index].removeFirst()
      compared += 1
      var track = tracks[index]
      take(recorded, root, &track)
      track.last = recorded.entry
      tracks[index] = track
    }
  }

  private mutating func take(_ recorded: RecordedRoot, _ root: Digest, _ track: inout Track) {
    let isOwn = track.store == nil
    if isOwn, recorded.entry > allocated {
      return wrongRows.append(WrongRow(entry: recorded.entry, recorded: recorded.root, tree: nil))
    }
    if recorded.root == root {
      proven = max(proven, recorded.entry)
      // What differed before was noted wrongly, since the log has the later root.
      for stretch in track.stretches where isOwn { wrongRows.append(WrongRow(stretch)) }
      wrongRows += track.followers
      (track.stretches, track.followers) = ([], [])
      track.resumed = nil
      if isOwn, recorded.frontier != tree { note(wrong: recorded) }
      return
    }
    // A row that has the log's frontier beside another root.
    if isOwn, recorded.frontier == tree { return note(wrong: recorded) }
    let isKnown = track.resumed?.root(hasher) == recorded.root
    track.resumed = recorded.frontier?.root(hasher) == recorded.root ? recorded.frontier : nil
    if !isKnown, track.stretches.count < Self.stretchesMax {
      track.stretches.append(Stretch(after: track.last, recorded: recorded, found: tree))
    } else if isOwn {
      track.followers.append(WrongRow(entry: recorded.entry, recorded: recorded.root, tree: nil))
    }
  }

  private static let stretchesMax = 1000

  private mutating func note(wrong recorded: RecordedRoot) {
    wrongRows.append(WrongRow(entry: recorded.entry, recorded: recorded.root, tree: tree))
  }

  private mutating func finish(_ session: Session) throws(OpsError) {
    for (stream, entry) in gone.unexplained.prefix(Self.stretchesMax) {
      problems.append(LogProblem(entry: entry, stream: stream, .contentGone))
    }
    for track in tracks {
      wrongRows += track.followers.filter { $0.entry <= proven }
      for stretch in track.stretches {
        let entries = stretch.after + 1...stretch.recorded.entry
        guard let store = track.store else {
          // A store that proves the log up to there proves the row wrong.
          if stretch.recorded.entry <= proven {
            wrongRows.append(WrongRow(stretch))
          } else {
            problems.append(
              LogProblem(
                entry: entries.lowerBound,
                .rootDiffers(
                  upTo: entries.upperBound, recorded: stretch.recorded.root.hex,
                  found: stretch.found.root(hasher).hex)))
          }
          continue
        }
        var first = entries.lowerBound
        do throws(OpsError) { first = try store.firstDifference(entries, session) ?? first } catch {
          if error.code == .databaseUnreachable { throw error }
          unread.append(UnreadStore(store, error))
        }
        problems.append(
          LogProblem(entry: first, .storeDiffers(store.place, upTo: entries.upperBound)))
      }
    }
  }
}

extension RootCheck.WrongRow {
  fileprivate init(_ stretch: RootCheck.Stretch) {
    self.init(entry: stretch.recorded.entry, recorded: stretch.recorded.root, tree: stretch.found)
  }

  var difference: Difference {
    guard let tree else {
      return Difference(
        table: "ledger.checkpoints", row: String(entry), column: "*", expected: nil,
        found: "a root that the log does not have")
    }
    let root = tree.root(TreeHasher())
    return Difference(
      table: "ledger.checkpoints", row: String(entry),
      column: recorded == root ? "frontier" : "root",
      expected: recorded == root ? "that of \(tree.size) events" : root.hex,
      found: recorded == root ? "another" : recorded.hex)
  }
}

/// Noted roots in the order of their entries; of the database's own a few thousand at a time.
private struct RootQueue {
  private var waiting: ArraySlice<RecordedRoot>
  private var last: Int64 = 0
  private var isOver = true

  init(_ roots: [RecordedRoot]) { waiting = roots[...] }

  init(after entry: Int64) { (waiting, last, isOver) = ([], entry, false) }

  var first: RecordedRoot? { waiting.first }

  mutating func removeFirst() { waiting.removeFirst() }

  /// Takes in the next ones, after all before were taken out.
  ///
  /// - Returns: The last one's entry; nil where they are the last ones.
  mutating func fill(_ connection: Connection) throws(OpsError) -> Int64? {
    if isOver { return nil }
    waiting = try RecordedRoot.read(after: last, on: connection)[...]
    isOver = waiting.count < RecordedRoot.readMax
    last = waiting.last?.entry ?? last
    return isOver ? nil : last
  }
}

extension RecordedRoot {
  fileprivate static let readMax = 5000

  fileprivate static func read(
    after entry: Int64, on connection: Connection
  ) throws(OpsError) -> [RecordedRoot] {
    var parameters = Parameters()
    parameters.int8(entry)
    parameters.int8(Int64(readMax))
    return try onDatabase { () throws(PostgresError) in
      let rows = try connection.query(listed, parameters)
      var roots: [RecordedRoot] = []
      for row in 0..<rows.count {
        let frontier = MerkleFrontier(try rows.bytea(row, 2))
        let isOfItsSize = frontier.map { Int64(clamping: $0.size) } == (try rows.int8(row, 3))
        roots.append(
          RecordedRoot(
            entry: try rows.int8(row, 0), root: Digest(try rows.bytea(row, 1)) ?? .zero,
            frontier: isOfItsSize ? frontier : nil))
      }
      return roots
    }
  }

  private static let listed = Statement(
    """
    SELECT c.entry, c.root, coalesce(c.frontier, ''), coalesce(c.size, -1) FROM ledger.checkpoints AS c
    WHERE c.entry > $1::bigint AND c.root IS NOT NULL ORDER BY c.entry LIMIT $2::bigint
    """)
}

extension LogReader {
  /// The tree over what has left the database, as it was noted before it left.
  fileprivate func archivedTree() throws(OpsError) -> MerkleFrontier? {
    guard let archivedPart,
      let recorded = try RecordedRoot.read(after: archivedPart.last - 1, on: connection).first,
      recorded.entry == archivedPart.last, let frontier = recorded.frontier,
      frontier.root(TreeHasher()).bytes == archivedPart.root
    else { return nil }
    return frontier
  }
}
