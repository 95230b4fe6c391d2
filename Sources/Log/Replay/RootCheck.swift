package import Crypto
public import Ledger
import Postgres

/// The tree over the log up to an entry, as somebody noted it: the database when it pushed, or a store's segment.
public struct NotedRoot: Sendable {
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
  func roots() throws(OpsError) -> [NotedRoot]

  /// The first of these entries that the database and the store have differently, or one of them has not; nil where
  /// they are the same.
  func firstDifference(
    _ entries: ClosedRange<Int64>, _ session: Session
  ) throws(OpsError) -> Int64?
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
    let noted: NotedRoot
    /// The log's tree there.
    let found: MerkleFrontier
  }

  /// What one source noted, compared as far as the log was read.
  private struct Track {
    /// Nil: the database's own checkpoints.
    let store: (any StoredHistory)?
    var stretches: [Stretch] = []
    /// Grown on from the last noted root that differed: what was noted after it differs for the same reason.
    var resumed: MerkleFrontier?
    var last: Int64
  }

  /// A row of `ledger.checkpoints` that the log proves wrong, and what it should be.
  struct WrongRow {
    let entry: Int64
    let noted: Digest
    /// Nil where there can be no root at all.
    let tree: MerkleFrontier?
  }

  /// Roots that were compared.
  private(set) var compared = 0
  /// Up to this entry the log has a root that was noted.
  private(set) var proven: Int64 = 0
  private(set) var problems: [LogProblem] = []
  private(set) var wrongRows: [WrongRow] = []

  private let hasher = TreeHasher()
  private var tree: MerkleFrontier
  private var tracks: [Track]
  private var queues: [RootQueue]
  /// No later entry can have been noted.
  private let drawn: Int64

  /// - Parameters:
  ///   - lines: A session that reads the log.
  ///   - noted: Another, of the same moment, that reads the checkpoints.
  static func run(
    _ lines: LogReader, _ noted: Connection, _ stores: [any StoredHistory],
    _ session: Session
  ) throws(OpsError) -> RootCheck {
    var check = try RootCheck(lines, noted, stores)
    try check.read(lines)
    try check.finish(session)
    return check
  }

  private init(
    _ lines: LogReader, _ noted: Connection, _ stores: [any StoredHistory]
  ) throws(OpsError) {
    let first = lines.coldLast
    drawn = try onDatabase { () throws(PostgresError) in
      try noted.query(Self.lastDrawn).int8(0, 0)
    }
    var queues = [try RootQueue(noted, after: first)]
    var start: MerkleFrontier?
    for store in stores {
      let roots = try store.roots()
      // The store that the log's beginning left for knows the tree there; `require` has compared its root.
      start = start ?? roots.first { $0.entry == first }?.frontier
      queues.append(RootQueue(roots.filter { $0.entry > first }))
    }
    if first > 0, start == nil { start = try lines.departedTree(noted) }
    self.queues = queues
    tracks = ([nil] + stores.map { Optional($0) }).map { Track(store: $0, last: first) }
    tree = start ?? MerkleFrontier()
    // Without the tree before the first event here nothing can be said.
    if first > 0, start == nil { self.queues = [] }
  }

  /// A sequence that was set back does not make roots of later entries wrong.
  private static let lastDrawn = Statement(
    """
    SELECT greatest(pg_sequence_last_value('ledger.entry_sequence'),
      (SELECT max(e.entry) FROM ledger.events AS e), 0)
    """)

  private mutating func read(_ reader: LogReader) throws(OpsError) {
    if queues.isEmpty { return }
    let lines = try LogLines(reader.coldLast + 1...Int64.max, on: reader.connection)
    var next = try nextNoted()
    while let (event, leaf) = try lines.nextLeaf() {
      while let entry = next, entry < event.entry {
        try compare(at: entry)
        next = try nextNoted()
      }
      tree.append(leaf, hasher)
      for index in tracks.indices { tracks[index].resumed?.append(leaf, hasher) }
    }
    while let entry = next {
      try compare(at: entry)
      next = try nextNoted()
    }
  }

  private mutating func nextNoted() throws(OpsError) -> Int64? {
    var first: Int64?
    for index in queues.indices {
      if let entry = try queues[index].first()?.entry { first = min(first ?? entry, entry) }
    }
    return first
  }

  private mutating func compare(at entry: Int64) throws(OpsError) {
    let root = tree.root(hasher)
    for index in queues.indices {
      guard let noted = try queues[index].first(), noted.entry == entry else { continue }
      queues[index].removeFirst()
      compared += 1
      var track = tracks[index]
      take(noted, root, &track)
      track.last = noted.entry
      tracks[index] = track
    }
  }

  private mutating func take(_ noted: NotedRoot, _ root: Digest, _ track: inout Track) {
    let isOwn = track.store == nil
    if isOwn, noted.entry > drawn {
      return wrongRows.append(WrongRow(entry: noted.entry, noted: noted.root, tree: nil))
    }
    if noted.root == root {
      proven = max(proven, noted.entry)
      // What differed before was noted wrongly, since the log has the later root.
      for stretch in track.stretches where isOwn { wrongRows.append(WrongRow(stretch)) }
      track.stretches = []
      track.resumed = nil
      if isOwn, noted.frontier != tree { note(wrong: noted) }
      return
    }
    // A row that has the log's frontier beside another root.
    if isOwn, noted.frontier == tree { return note(wrong: noted) }
    let isKnown = track.resumed?.root(hasher) == noted.root
    track.resumed = noted.frontier?.root(hasher) == noted.root ? noted.frontier : nil
    if !isKnown, track.stretches.count < Self.stretchesMax {
      track.stretches.append(Stretch(after: track.last, noted: noted, found: tree))
    }
  }

  private static let stretchesMax = 1000

  private mutating func note(wrong noted: NotedRoot) {
    wrongRows.append(WrongRow(entry: noted.entry, noted: noted.root, tree: tree))
  }

  private mutating func finish(_ session: Session) throws(OpsError) {
    for track in tracks {
      for stretch in track.stretches {
        let entries = stretch.after + 1...stretch.noted.entry
        guard let store = track.store else {
          // A store that proves the log up to there proves the row wrong.
          if stretch.noted.entry <= proven {
            wrongRows.append(WrongRow(stretch))
          } else {
            problems.append(
              LogProblem(
                entry: entries.lowerBound,
                .rootDiffers(
                  upTo: entries.upperBound, noted: stretch.noted.root.hex,
                  found: stretch.found.root(hasher).hex)))
          }
          continue
        }
        let entry = try store.firstDifference(entries, session) ?? entries.lowerBound
        problems.append(
          LogProblem(entry: entry, .storeDiffers(store.place, upTo: entries.upperBound)))
      }
    }
  }
}

extension RootCheck.WrongRow {
  fileprivate init(_ stretch: RootCheck.Stretch) {
    self.init(entry: stretch.noted.entry, noted: stretch.noted.root, tree: stretch.found)
  }

  var difference: Difference {
    guard let tree else {
      return Difference(
        table: "ledger.checkpoints", row: String(entry), column: "*", expected: nil,
        found: "a root of an entry that nobody has drawn")
    }
    let root = tree.root(TreeHasher())
    return Difference(
      table: "ledger.checkpoints", row: String(entry), column: noted == root ? "frontier" : "root",
      expected: noted == root ? "that of \(tree.size) events" : root.hex,
      found: noted == root ? "another" : noted.hex)
  }
}

/// Noted roots in the order of their entries, of which a few thousand are in memory.
private struct RootQueue {
  private let connection: Connection?
  private var waiting: ArraySlice<NotedRoot>
  private var last: Int64
  private var isOver: Bool

  init(_ roots: [NotedRoot]) {
    (connection, waiting, last, isOver) = (nil, roots[...], 0, true)
  }

  init(_ connection: Connection, after entry: Int64) throws(OpsError) {
    (self.connection, waiting, last, isOver) = (connection, [], entry, false)
  }

  mutating func removeFirst() { waiting.removeFirst() }

  mutating func first() throws(OpsError) -> NotedRoot? {
    if let first = waiting.first { return first }
    guard !isOver, let connection else { return nil }
    waiting = try NotedRoot.read(after: last, on: connection)[...]
    isOver = waiting.count < NotedRoot.readMax
    last = waiting.last?.entry ?? last
    return waiting.first
  }
}

extension NotedRoot {
  fileprivate static let readMax = 5000

  fileprivate static func read(
    after entry: Int64, on connection: Connection
  ) throws(OpsError) -> [NotedRoot] {
    var parameters = Parameters()
    parameters.int8(entry)
    parameters.int8(Int64(readMax))
    return try onDatabase { () throws(PostgresError) in
      let rows = try connection.query(listed, parameters)
      var roots: [NotedRoot] = []
      for row in 0..<rows.count {
        let frontier = MerkleFrontier(try rows.bytea(row, 2))
        let isOfItsSize = frontier.map { Int64(clamping: $0.size) } == (try rows.int8(row, 3))
        roots.append(
          NotedRoot(
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
  fileprivate func departedTree(_ connection: Connection) throws(OpsError) -> MerkleFrontier? {
    guard let departed,
      let noted = try NotedRoot.read(after: departed.last - 1, on: connection).first,
      noted.entry == departed.last, let frontier = noted.frontier,
      frontier.root(TreeHasher()).bytes == departed.root
    else { return nil }
    return frontier
  }
}
