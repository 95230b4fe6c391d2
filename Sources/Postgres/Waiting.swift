internal import Synchronization

/// Tells another thread how long a connection has been waiting for the server.
public final class Waiting: Sendable {
  /// When the wait began, in nanoseconds of the monotonic clock; 0 while the connection does not wait.
  private let since = Atomic<UInt64>(0)
  private let backend = Atomic<Int32>(0)

  public init() {}

  /// The server process that the connection waits for; nil behind a pooler, which hides the process.
  public var pid: Int32? {
    let pid = backend.load(ordering: .relaxed)
    return pid == 0 ? nil : pid
  }

  /// When the present wait began, which tells it from other waits, and how long it has lasted; nil if there is none.
  public var now: (began: UInt64, seconds: Double)? {
    let began = since.load(ordering: .relaxed)
    let now = monotonicNanos()
    guard began > 0, now >= began else { return nil }
    return (began, Double(now - began) / 1e9)
  }

  func begin(_ connection: Connection) {
    backend.store(connection.isPooled ? 0 : connection.backendPID, ordering: .relaxed)
    since.store(monotonicNanos(), ordering: .relaxed)
  }

  func end() { since.store(0, ordering: .relaxed) }
}
