package import Ledger
package import Log
import Synchronization
import Threads

/// Reads and folds the whole log, and nothing else: what a replay costs before it writes or compares.
package enum LogFold {
  package static func count(_ target: Session.Target) throws(OpsError) -> (events: Int, rows: Int) {
    let session = try Session(target)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let slices = try snapshot.reader().slices(Slice.count(rows: session.estimate().rows))
    let id = snapshot.id
    let total = Mutex<Result<(events: Int, rows: Int), OpsError>>(.success((0, 0)))
    concurrently(Slice.workers) { worker in
      let mine = slices.indices.filter { $0 % Slice.workers == worker }.map { slices[$0] }
      let result = Result { () throws(OpsError) in try count(mine, target, id) }
      total.withLock { total in
        total = total.flatMap { a in result.map { b in (a.events + b.events, a.rows + b.rows) } }
      }
    }
    return try total.withLock { $0 }.get()
  }

  private static func count(
    _ slices: [Slice], _ target: Session.Target, _ snapshot: String
  ) throws(OpsError) -> (events: Int, rows: Int) {
    let session = try Session(target)
    let reader = try SharedSnapshot.join(snapshot, session)
    var (events, rows) = (0, 0)
    for slice in slices {
      let fold = try slice.fold(on: reader, ReplayProgress())
      events += fold.eventCount
      rows += fold.rowCount
    }
    return (events, rows)
  }
}
