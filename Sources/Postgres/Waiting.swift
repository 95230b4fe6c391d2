internal import Glibc
internal import Synchronization

/// Since when a connection has been waiting for the server, for another thread to look at.
public final class Waiting: Sendable {
  /// On the monotonic clock, in nanoseconds; 0 while it does not wait.
  private let since = Atomic<UInt64>(0)
  private let backend = Atomic<Int32>(0)

  public init() {}

  /// The server process that it waits for; nil behind a pooler, whose numbers are no processes.
  public var pid: Int32? {
    let pid = backend.load(ordering: .relaxed)
    return pid == 0 ? nil : pid
  }

  /// Which wait it is, by its beginning, and how long it has lasted; nil where there is none.
  public var now: (began: UInt64, seconds: Double)? {
    let began = since.load(ordering: .relaxed)
    let now = Self.clock()
    guard began > 0, now >= began else { return nil }
    return (began, Double(now - began) / 1e9)
  }

  func begin(_ connection: Connection) {
    backend.store(connection.isPooled ? 0 : connection.backendPID, ordering: .relaxed)
    since.store(Self.clock(), ordering: .relaxed)
  }

  func end() { since.store(0, ordering: .relaxed) }

  private static func clock() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }
}
