package import Ledger
package import Log
import Postgres

extension Verifier {
  /// Compares the rows of one ledger as of an entry with the tables of another database, which should be a copy of it.
  /// The ledger's own row is left out, because a restore changes it.
  ///
  /// ``VerifyReport/notCovered`` names columns of the first database.
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
    var report = VerifyReport()
    while let made = try stream.next() {
      var comparison = Comparison(made.fold, made.slice, on: connection, leavingOut: .ledger)
      try comparison.run()
      report.take(comparison)
    }
    report.entry = entry
    report.notCovered = try notCovered(session)
    return report
  }
}
