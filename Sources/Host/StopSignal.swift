import Dispatch
import Glibc
import Synchronization

/// Turns SIGTERM and SIGINT into a flag that loops check between two pieces of work.
public final class StopSignal: Sendable {
  private final class Flag: Sendable {
    let raised = Atomic<Bool>(false)
    /// The time of the first signal.
    let sinceMillis = Atomic<Int>(0)
  }

  private let flag: Flag
  // Never used again, but a source that is released stops.
  private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

  /// `timeout` and process managers signal a process and its group, so one signal can arrive twice within this time.
  private static let echoMillis = 500

  /// Handles both signals from now on. A second signal, after more than `echoMillis`, ends the process at once.
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

  /// Whether a signal has arrived.
  public var isRaised: Bool { flag.raised.load(ordering: .sequentiallyConsistent) }

  /// Sleeps until the time has passed or a signal arrives.
  ///
  /// - Returns: Whether the whole time has passed.
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
