import Dispatch
import Ledger
import Log
import Postgres
import Synchronization
import Threads

/// Puts lines into the log on a session and a thread of its own, in one transaction: a server takes in what COPY
/// sends on one core, and there are others.
final class CopyHand {
  private final class Shared: Sendable {
    /// Lines that wait, at most two; nil ends them.
    let lines = Mutex<[[UInt8]?]>([])
    let filled = DispatchSemaphore(value: 0)
    let room = DispatchSemaphore(value: 0)
    let done = DispatchSemaphore(value: 0)
    let failure = Mutex<OpsError?>(nil)
  }

  private let shared = Shared()
  private var isEnded = false

  init(_ target: Session.Target) {
    // Raised, not made so: libdispatch ends a process that lets go of a semaphore which stands lower.
    for _ in 0..<2 { shared.room.signal() }
    let isStarted = startThread { [shared] in
      do throws(OpsError) { try Self.work(target, shared) } catch { Self.end(shared, error) }
      shared.done.signal()
    }
    guard !isStarted else { return }
    Self.end(shared, .noThread)
    shared.done.signal()
  }

  /// Nobody waits for it any longer: without an end it rolls back.
  deinit {
    guard !isEnded else { return }
    shared.failure.withLock { $0 = $0 ?? OpsError(.conflict, "the restore was given up") }
    shared.filled.signal()
    shared.done.wait()
  }

  /// Whoever waits for room finds it, and then why.
  private static func end(_ shared: Shared, _ error: OpsError) {
    shared.failure.withLock { $0 = error }
    shared.room.signal()
  }

  private static func work(_ target: Session.Target, _ shared: Shared) throws(OpsError) {
    try Session(target).asKeeper { (connection) throws(OpsError) in
      let writer = try onDatabase { () throws(PostgresError) in
        try connection.copyIn("COPY ledger.events FROM STDIN")
      }
      while true {
        shared.filled.wait()
        if let failure = shared.failure.withLock({ $0 }) { throw failure }
        guard let lines = shared.lines.withLock({ $0.removeFirst() }) else { break }
        try writer.send(lines)
        shared.room.signal()
      }
      _ = try onDatabase { () throws(PostgresError) in try writer.finish() }
    }
  }

  /// Hands lines over, and waits while two others wait.
  func send(_ lines: [UInt8]) throws(OpsError) {
    shared.room.wait()
    if let failure = shared.failure.withLock({ $0 }) { throw failure }
    shared.lines.withLock { $0.append(lines) }
    shared.filled.signal()
  }

  /// Waits until all is committed.
  func finish() throws(OpsError) {
    isEnded = true
    shared.lines.withLock { $0.append(nil) }
    shared.filled.signal()
    shared.done.wait()
    if let failure = shared.failure.withLock({ $0 }) { throw failure }
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
