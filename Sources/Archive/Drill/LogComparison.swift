import Crypto
import Ledger
import Log

/// Walks through the logs of two databases side by side, up to an entry: every event by its leaf, and the
/// trees over all of them.
struct LogComparison {
  /// Which both have.
  private(set) var events = 0
  private(set) var differences = 0
  /// The first entry that differs.
  private(set) var first: Int64?
  private(set) var root = TreeHasher.emptyRoot
  private(set) var copyRoot = TreeHasher.emptyRoot

  /// - Parameters:
  ///   - from: The first entry that the live log still holds: what is before it only the copy can say.
  ///   - each: Called now and then; what it throws ends it.
  init(
    _ live: Session, _ copy: Session, upTo lastEntry: Int64,
    _ each: (Int) throws(OpsError) -> Void
  ) throws(OpsError) {
    let hasher = TreeHasher()
    let from = try live.firstEntry(from: 0, to: .max) ?? 0
    var theirs = MerkleFrontier()
    if from > 1, from <= lastEntry {
      let before = try LogLines(0...(from - 1), on: try copy.connection())
      while let next = try before.nextLeaf() { theirs.append(next.leaf, hasher) }
    }
    var mine = theirs
    let (a, b) = (
      try LogLines(0...lastEntry, on: try live.connection()),
      try LogLines(max(0, from)...max(lastEntry, from), on: try copy.connection())
    )
    var (x, y) = (try a.nextLeaf(), try b.nextLeaf())
    while x != nil || y != nil {
      let (p, q) = (x.map { EventPosition($0.event) }, y.map { EventPosition($0.event) })
      let isMine = q.map { q in p.map { $0 <= q } ?? false } ?? true
      let isTheirs = p.map { p in q.map { $0 <= p } ?? false } ?? true
      if isMine, isTheirs, x?.leaf == y?.leaf {
        events += 1
      } else {
        differences += 1
        first = first ?? (isMine ? p : q)?.entry
      }
      if isMine, let next = x {
        mine.append(next.leaf, hasher)
        x = try a.nextLeaf()
      }
      if isTheirs, let next = y {
        theirs.append(next.leaf, hasher)
        y = try b.nextLeaf()
      }
      if (events + differences) & 0xFFF == 0 { try each(events) }
    }
    (root, copyRoot) = (mine.root(hasher), theirs.root(hasher))
  }
}
