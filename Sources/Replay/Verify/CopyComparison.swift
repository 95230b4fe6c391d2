package import Ledger
package import Log
import Postgres

extension Verifier {
  /// Compares what the log of one ledger came to at an entry with the tables of another database, which is to be a
  /// copy of it. The ledger's own row is left out: a restore adds to it.
  ///
  /// What the report says is not covered is of the first.
  package static func run(
    _ target: Session.Target, at entry: Int64, with copy: Session.Target,
    _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> VerifyReport {
    let session = try Session(target)
    let (rows, events) = try session.estimate()
    progress.expect(events)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let stream = FoldStream<(fold: Fold, slice: Slice)>(
      try snapshot.reader().slices(Slice.count(rows: rows), upTo: entry),
      entries: 0...max(0, entry), target, snapshot: snapshot.id, workers: session.readers, progress,
      make: { (fold, slice) in (fold, slice) })
    defer { stream.stop() }
    let other = try Session(copy)
    let connection = try other.connection()
    var partial = Partial()
    while let made = try stream.next() {
      var comparison = Comparison(made.fold, made.slice, on: connection, leavingOut: .ledger)
      try comparison.run()
      partial.take(comparison)
    }
    partial.report.entry = entry
    partial.report.notCovered = try notCovered(session)
    return partial.report
  }
}
