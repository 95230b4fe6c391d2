package import Ledger

/// Reads and folds the whole log, and nothing else: what a replay costs before it writes or compares.
package enum LogFold {
  package static func count(_ target: Session.Target) throws(OpsError) -> (events: Int, rows: Int) {
    let session = try Session(target)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let stream = FoldStream(
      Slice.all(rows: try session.estimate().rows), target, snapshot: snapshot.id,
      ReplayProgress())
    defer { stream.stop() }
    var (events, rows) = (0, 0)
    while let (fold, _) = try stream.next() {
      events += fold.eventCount
      rows += fold.rowCount
    }
    return (events, rows)
  }
}
