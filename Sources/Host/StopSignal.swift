import Dispatch
import Glibc
import Synchronization

/// Turns SIGTERM and SIGINT into a flag that loops look at between two pieces of work.
public final class StopSignal: Sendable {
  private final class Flag: Sendable {
    let raised = Atomic<Bool>(false)
    /// When the first signal came.
    let sinceMillis = Atomic<Int>(0)
  }

  private let flag: Flag
  // Never touched again: a source that nobody holds goes quiet.
  private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

  /// What `timeout` and process managers send to a process and to its group arrives twice, and is meant once.
  private static let echoMillis = 500

  /// Takes both signals over from now on. A second one, later than an echo of the first, ends the process at once.
  public init() {
    let flag = Flag()
    let queue = DispatchQueue(label: "opsledger.signals")
    self.flag = flag
    sources = [SIGTERM, SIGINT].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        let now = Stopwatch.nowMillis
        if !flag.raised.exchange(true, ordering: .sequentiallyConsistent) {
          flag.sinceMillis.store(now, ordering: .sequentiallyConsistent)
        } else if now - flag.sinceMillis.load(ordering: .sequentiallyConsistent) > Self.echoMillis {
          _exit(128 + number)
        }
      }
      source.resume()
      return source
    }
  }

  /// Whether someone asked us to stop.
  public var isRaised: Bool { flag.raised.load(ordering: .sequentiallyConsistent) }

  /// Sleeps, but no longer than until someone asks us to stop.
  ///
  /// - Returns: whether the whole time has passed.
  public func sleep(millis: Int) -> Bool {
    let deadline = Stopwatch.nowMillis + millis
    while !isRaised {
      let left = deadline - Stopwatch.nowMillis
      if left <= 0 { return true }
      usleep(UInt32(min(left, 50)) * 1000)
    }
    return false
  }
}
