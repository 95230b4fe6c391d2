package import Ledger
package import Log

/// Reads and folds the whole log, and does nothing else: this measures what a replay costs before it writes or compares.
package enum LogFold {
  package static func count(_ target: Session.Target) throws(OpsError) -> (events: Int, rows: Int) {
    let session = try Session(target)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let stream = FoldStream<(events: Int, rows: Int)>(
      try snapshot.reader().slices(Slice.count(rows: session.estimate().rows)), target,
      snapshot: snapshot.id, workers: Slice.workers, ReplayProgress(),
      make: { (fold, _) in (fold.eventCount, fold.rowCount) })
    defer { stream.stop() }
    var total = (events: 0, rows: 0)
    while let part = try stream.next() {
      total = (total.events + part.events, total.rows + part.rows)
    }
    return total
  }
}
