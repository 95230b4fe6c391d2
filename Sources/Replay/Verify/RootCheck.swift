package import Crypto
public import Ledger
public import Log
import Postgres

/// A recorded root: the Merkle tree over the log up to an entry, according to the database or a store's segment.
public struct RecordedRoot: Sendable {
  public let entry: Int64
  package let root: Digest
  /// Nil if the recorded bytes are not the frontier of a tree.
  package let frontier: MerkleFrontier?

  package init(entry: Int64, root: Digest, frontier: MerkleFrontier?) {
    self.entry = entry
    self.root = root
    self.frontier = frontier
  }
}

/// A store that `verify` compares the log with.
public protocol StoredHistory: Sendable {
  var place: String { get }

  /// The tree at the end of each segment, in the order of the log.
  func roots() throws(OpsError) -> [RecordedRoot]

  /// The first of these entries that differs between the database and the store, or that only one of them has; nil if
  /// there is none.
  func firstDifference(
    _ entries: ClosedRange<Int64>, _ session: Session
  ) throws(OpsError) -> Int64?
}

/// A store that could not be read to its end.
public struct UnreadStore: Sendable {
  public let place: String
  public let error: OpsError

  public init(place: String, error: OpsError) { (self.place, self.error) = (place, error) }

  fileprivate init(_ store: any StoredHistory, _ error: OpsError) {
    self.init(place: store.place, error: error)
  }
}

/// Hashes the log in the database, in its order, and compares the tree with every root that the database and its stores
/// recorded.
///
/// If a recorded root does not match the log, but a later one does, the row of `ledger.checkpoints` is wrong. If no later
/// root matches, the log is wrong.
struct RootCheck {
  /// Entries whose events do not hash to the root recorded at their end.
  fileprivate struct Stretch {
    let after: Int64
    let recorded: RecordedRoot
    /// The log's tree at that entry.
    let found: MerkleFrontier
  }

  /// The comparison with the roots of one source, so far.
  private struct Track {
    /// Nil for the database's own checkpoints.
    let store: (any StoredHistory)?
    var stretches: [Stretch] = []
    /// Checkpoints of the database that differ only because an earlier one differs.
    var followers: [WrongRow] = []
    /// The last recorded tree that differed, with the log's later events added. A later recorded root that equals this
    /// tree's root differs for the same reason.
    var resumed: MerkleFrontier?
    var last: Int64
  }

  /// A row of `ledger.checkpoints` that the log proves wrong.
  struct WrongRow {
    let entry: Int64
    let recorded: Digest
    /// The log's tree at the entry. Nil if the row must be removed.
    let tree: MerkleFrontier?
  }

  /// How many roots were compared.
  private(set) var compared = 0
  /// The last entry at which the log has a recorded root.
  private(set) var proven: Int64 = 0
  private(set) var problems: [LogProblem] = []
  private(set) var wrongRows: [WrongRow] = []
  private(set) var unread: [UnreadStore] = []

  private let hasher = TreeHasher()
  private var gone = GoneContent()
  private var tree: MerkleFrontier
  private var tracks: [Track]
  private var queues: [RootQueue]
  /// The last entry number that was allocated. No root of a later entry can be right.
  private let allocated: Int64

  /// Hashes the log as a snapshot sees it.
  static func run(
    _ target: Session.Target, snapshot: String, _ stores: [any StoredHistory] = []
  ) throws(OpsError) -> RootCheck {
    let session = try Session(target)
    let lines = try SharedSnapshot.join(snapshot, session)
    var check = try RootCheck(lines, stores)
    try check.read(lines)
    // Behind a pooler, the comparison with a store would wait for this transaction's connection.
    session.drop()
    try check.finish(session)
    return check
  }

  private init(_ lines: LogReader, _ stores: [any StoredHistory]) throws(OpsError) {
    let first = lines.archivedLast
    let rows = try lines.query(Self.lastAllocated)
    allocated = try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
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
      // The store with the archived part knows the tree at its end. ``ArchivedLog`` has compared the root.
      start = start ?? roots.first { $0.entry == first }?.frontier
      queues.append(RootQueue(roots.filter { $0.entry > first }))
    }
    if first > 0, start == nil { start = try lines.archivedTree() }
    self.queues = queues
    tracks = ([nil] + readable.map { Optional($0) }).map { Track(store: $0, last: first) }
    tree = start ?? MerkleFrontier()
    // Without the tree of the archived part, no root can be computed.
    if first > 0, start == nil { self.queues = [] }
  }

  /// The greatest event counts too: roots are not wrong because somebody set the sequence back.
  private static let lastAllocated = Statement(
    """
    SELECT greatest(pg_sequence_last_value('ledger.entry_sequence'),
      (SELECT max(e.entry) FROM ledger.events AS e), 0)
    """)

  /// Reads some thousand recorded roots, then the log's lines up to the last of them, on one connection.
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

  /// The next event's entry and leaf. An event that cannot be read gets a leaf that matches no root.
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
      // The log has this later root, so the earlier rows that differed are wrong.
      for stretch in track.stretches where isOwn { wrongRows.append(WrongRow(stretch)) }
      wrongRows += track.followers
      (track.stretches, track.followers) = ([], [])
      track.resumed = nil
      if isOwn, recorded.frontier != tree { note(wrong: recorded) }
      return
    }
    // The row has the log's frontier and another root.
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
          // A store has proven the log up to this entry, so the row is wrong.
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
        found: "a root of an entry that the log does not have")
    }
    let root = tree.root(TreeHasher())
    return Difference(
      table: "ledger.checkpoints", row: String(entry),
      column: recorded == root ? "frontier" : "root",
      expected: recorded == root ? "the frontier of \(tree.size) events" : root.hex,
      found: recorded == root ? "another frontier" : recorded.hex)
  }
}

/// Recorded roots in the order of their entries. The database's own are read a few thousand at a time.
private struct RootQueue {
  private var waiting: ArraySlice<RecordedRoot>
  private var last: Int64 = 0
  private var isOver = true

  init(_ roots: [RecordedRoot]) { waiting = roots[...] }

  init(after entry: Int64) { (waiting, last, isOver) = ([], entry, false) }

  var first: RecordedRoot? { waiting.first }

  mutating func removeFirst() { waiting.removeFirst() }

  /// Reads the next roots. The queue must be empty.
  ///
  /// - Returns: The entry of the last root read; nil if there are no more roots after it.
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
    try onDatabase { () throws(PostgresError) in
      let rows = try connection.query(listed, Parameters(entry, Int64(readMax)))
      return try (0..<rows.count).map { (row) throws(PostgresError) in
        let frontier = MerkleFrontier(try rows.bytea(row, 2))
        let isOfItsSize = frontier.map { Int64(clamping: $0.size) } == (try rows.int8(row, 3))
        return RecordedRoot(
          entry: try rows.int8(row, 0), root: Digest(try rows.bytea(row, 1)) ?? .zero,
          frontier: isOfItsSize ? frontier : nil)
      }
    }
  }

  private static let listed = Statement(
    """
    SELECT c.entry, c.root, coalesce(c.frontier, ''), coalesce(c.size, -1) FROM ledger.checkpoints AS c
    WHERE c.entry > $1::bigint AND c.root IS NOT NULL ORDER BY c.entry LIMIT $2::bigint
    """)
}

extension LogReader {
  /// The tree over the archived part, as the database recorded it before.
  fileprivate func archivedTree() throws(OpsError) -> MerkleFrontier? {
    guard let archivedPart,
      let recorded = try RecordedRoot.read(after: archivedPart.last - 1, on: connection).first,
      recorded.entry == archivedPart.last, let frontier = recorded.frontier,
      frontier.root(TreeHasher()).bytes == archivedPart.root
    else { return nil }
    return frontier
  }
}
