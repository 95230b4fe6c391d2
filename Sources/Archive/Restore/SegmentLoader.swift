import Ledger
import Log
import Postgres
import Replay
import Synchronization
import Threads

/// Puts lines into the log on a session and a thread of its own, in one transaction: a server takes in what COPY
/// sends on one core, and there are others.
final class SegmentLoader {
  private final class Shared: Sendable {
    /// Lines that wait; closed where they end, or fail.
    let lines = BoundedQueue<[UInt8]>(capacity: 2)
    let failure = Mutex<OpsError?>(nil)
    /// Closed when the transaction has ended.
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

  /// Nobody waits for it any longer: without an end it rolls back.
  deinit {
    shared.fail(OpsError(.conflict, "the restore was given up"))
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

  /// Hands lines over, and waits while two others wait.
  func send(_ lines: [UInt8]) throws(OpsError) {
    shared.lines.put(lines)
    try shared.require()
  }

  /// Waits until all is committed.
  func finish() throws(OpsError) {
    shared.lines.close()
    _ = shared.end.take()
    try shared.require()
  }
}

extension CopyWriter {
  func send(_ lines: [UInt8]) throws(OpsError) {
    try lines.withUnsafeBytes { lines in
      Result { () throws(OpsError) in
        try onDatabase { () throws(PostgresError) in try raw(lines) }
      }
    }.get()
  }
}
