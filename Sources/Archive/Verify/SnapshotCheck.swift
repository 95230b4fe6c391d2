import Crypto
import Ledger
import Log
import Replay

/// Compares snapshots with the segments: the rows with the fold of the events, and the trees.
struct SnapshotCheck {
  private let store: Store
  private let segments: [SegmentList.Segment]
  /// The oldest first.
  private let snapshots: [SnapshotReader]
  /// The sums of the folded rows, for each snapshot by table.
  private var expected: [[String: RowSum]]
  private(set) var faults: [String] = []
  private(set) var notes: [String] = []

  private static let columns: [String: [String]] = {
    let runs = RowType.allCases.map(StateRows.columns)
    return Dictionary(
      runs.map { ($0.table, $0.columns) } + [(SnapshotIndex.gone, SnapshotIndex.goneColumns)],
      uniquingKeysWith: { a, _ in a })
  }()

  /// The number of streams in a slice, about 400 bytes each.
  static let rowsMax = 250_000

  /// - Parameter snapshots: None after the last entry of the segments.
  init(_ store: Store, _ segments: [SegmentList.Segment], _ snapshots: [SnapshotReader]) {
    self.store = store
    self.segments = segments
    self.snapshots = snapshots
    expected = Array(repeating: [:], count: snapshots.count)
  }

  mutating func run(events: Int) throws(OpsError) {
    guard !snapshots.isEmpty else { return }
    // A stream has about two events.
    let slices = max(1, (events / 2 + Self.rowsMax - 1) / Self.rowsMax)
    for slice in 0..<slices { try fold(slice, of: slices) }
    for (snapshot, sums) in zip(snapshots, expected) { try compare(snapshot, sums) }
  }

  private mutating func fold(_ slice: Int, of slices: Int) throws(OpsError) {
    let fold = LineFold(slice: slice, of: slices)
    var next = 0
    var tree = slice == 0 ? TreeUpTo() : nil
    let wanted = snapshots[snapshots.count - 1].index.name.entry
    for segment in segments where segment.name.entries.lowerBound <= wanted {
      let reader = try store.reader(of: segment)
      try reader.lines(of: 1...max(1, wanted)) { (_, event) throws(OpsError) in
        while next < snapshots.count, event.entry > snapshots[next].index.name.entry {
          try settle(next, fold, tree)
          next += 1
        }
        fold.take(event)
        try tree?.take(event)
      }
    }
    while next < snapshots.count {
      try settle(next, fold, tree)
      next += 1
    }
  }

  private mutating func settle(
    _ at: Int, _ fold: LineFold, _ tree: TreeUpTo?
  ) throws(OpsError) {
    for (name, sum) in try fold.sums() { expected[at][name, default: RowSum()].add(sum) }
    let index = snapshots[at].index
    if let tree, tree.size != index.size || tree.root != index.root || tree.last != index.lastLeaf {
      faults.append("\(index.name) names another root than the segments have at its entry")
    }
  }

  private mutating func compare(
    _ snapshot: SnapshotReader, _ expected: [String: RowSum]
  ) throws(OpsError) {
    let index = snapshot.index
    let hasher = SHA256()
    var missing = Set(expected.keys)
    for run in index.runs {
      missing.remove(run.name)
      guard let wanted = expected[run.name] else {
        faults.append("\(index.name) has rows of \(run.name), which is not a table of this release")
        continue
      }
      var found = RowSum()
      try snapshot.lines(of: run) { line in found.add(line, hasher) }
      guard found != wanted else { continue }
      guard Self.columns[run.name] == run.columns else {
        notes.append(
          "\(index.name): \(run.name) has other columns than in this release. Its hashes are right; its "
            + "rows were not compared")
        continue
      }
      faults.append(
        "\(index.name): its \(found.lines) rows of \(run.name) differ from the \(wanted.lines) rows that "
          + "the segments' events give")
    }
    // A snapshot of an earlier release has no run of a new row type.
    for name in missing.sorted() where expected[name].map({ $0.lines > 0 }) ?? false {
      faults.append("\(index.name) lacks the rows of \(name)")
    }
  }
}

/// The tree over the events so far.
private struct TreeUpTo {
  private var frontier = MerkleFrontier()
  private(set) var last = Digest.zero
  private let leaves = LeafHasher()
  private let tree = TreeHasher()

  var size: UInt64 { frontier.size }
  var root: Digest { frontier.root(tree) }

  mutating func take(_ event: EventLine) throws(OpsError) {
    last = try leaves.archivedLeaf(of: event)
    frontier.append(last, tree)
  }
}
