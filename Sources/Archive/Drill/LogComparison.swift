import Crypto
import Ledger
import Log

/// Compares the logs of two databases up to an entry: each event by its leaf, and the roots of both trees.
struct LogComparison {
  /// The number of events that both have.
  private(set) var events = 0
  private(set) var differences = 0
  /// The first entry that differs.
  private(set) var first: Int64?
  private(set) var root = TreeHasher.emptyRoot
  private(set) var copyRoot = TreeHasher.emptyRoot

  /// - Parameter check: Called every few thousand events; throws to end the comparison.
  init(
    _ live: Session, _ copy: Session, upTo lastEntry: Int64, _ check: () throws(OpsError) -> Void
  ) throws(OpsError) {
    let hasher = TreeHasher()
    // The copy alone has the entries that are archived in the live database.
    let from = try live.firstEntry(from: 0, to: .max) ?? 0
    var theirs = MerkleFrontier()
    if from > 1, from <= lastEntry { try theirs.append(0...(from - 1), of: copy) }
    var mine = theirs
    let (a, b) = (
      try LogLines(0...lastEntry, on: try live.connection()),
      try LogLines(max(0, from)...max(lastEntry, from), on: try copy.connection())
    )
    var (x, y) = (try a.nextLeaf(), try b.nextLeaf())
    while x != nil || y != nil {
      let (p, q) = (x.map { LinePosition($0.event) }, y.map { LinePosition($0.event) })
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
      if (events + differences) & 0xFFF == 0 { try check() }
    }
    (root, copyRoot) = (mine.root(hasher), theirs.root(hasher))
  }
}
