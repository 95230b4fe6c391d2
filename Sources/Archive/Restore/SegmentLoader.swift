import Ledger
import Log
import Postgres
import Replay
import Synchronization
import Threads

/// Loads lines into the log, in one transaction, on a session and a thread of its own: the server uses one core for each
/// COPY.
final class SegmentLoader {
  private final class Shared: Sendable {
    /// Lines that wait. Closed at the end, or after a failure.
    let lines = BoundedQueue<[UInt8]>(capacity: 2)
    let failure = Mutex<OpsError?>(nil)
    /// Closed after the transaction has ended.
    let end = BoundedQueue<Never>()

    func fail(_ error: OpsError) {
      failure.withLock { $0 = $0 ?? error }
      lines.close()
    }

    func require() throws(OpsError) {
      if let failure = failure.withLock({ $0 }) { throw failure }
    }
  }

  private let shared = Shared()

  init(_ target: Session.Target) {
    let isStarted = startThread { [shared] in
      do throws(OpsError) { try Self.work(target, shared) } catch { shared.fail(error) }
      shared.end.close()
    }
    guard !isStarted else { return }
    shared.fail(.noThread)
    shared.end.close()
  }

  /// Rolls back, unless ``finish()`` was called.
  deinit {
    shared.fail(OpsError(.conflict, "the restore was stopped; this segment was not restored"))
    _ = shared.end.take()
  }

  private static func work(_ target: Session.Target, _ shared: Shared) throws(OpsError) {
    try Session(target).asRepairRole { (connection) throws(OpsError) in
      let writer = try onDatabase { () throws(PostgresError) in
        try connection.copyIn("COPY ledger.events FROM STDIN")
      }
      while let lines = shared.lines.take() { try writer.send(lines) }
      try shared.require()
      _ = try onDatabase { () throws(PostgresError) in try writer.finish() }
    }
  }

  /// Waits while two pieces wait.
  func send(_ lines: [UInt8]) throws(OpsError) {
    shared.lines.put(lines)
    try shared.require()
  }

  /// Returns after the commit.
  func finish() throws(OpsError) {
    shared.lines.close()
    _ = shared.end.take()
    try shared.require()
  }
}

extension CopyWriter {
  func send(_ lines: [UInt8]) throws(OpsError) {
    try onDatabase { () throws(PostgresError) in
      try lines.withBytes { (lines) throws(PostgresError) in try raw(lines) }
    }
  }
}
