import Glibc

/// Runs `body` on a thread of its own, which nobody else's work can keep from starting.
///
/// Work that another thread waits for never runs on a queue of Dispatch: these queues share a pool with a thread a core,
/// and where all of them wait for work that is queued behind them, nothing goes on.
///
/// - Returns: Whether the system had a thread; where it had none, `body` does not run.
public func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
  guard let thread = OwnThread(body) else { return false }
  thread.detach()
  return true
}

/// The same, or here and now where the system has no thread.
public func runOnThread(_ body: @escaping @Sendable () -> Void) {
  if !startThread(body) { body() }
}

/// Runs `body` for 0 to `count - 1` side by side and waits for all: the first here, each other on a thread of its own,
/// or here as well where the system has no further thread.
public func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
  guard count > 0 else { return }
  withoutActuallyEscaping(body) { body in
    var threads: [OwnThread] = []
    var here = [0]
    for index in 1..<max(count, 1) {
      if let thread = OwnThread({ body(index) }) {
        threads.append(thread)
      } else {
        here.append(index)
      }
    }
    here.forEach(body)
    for thread in threads { thread.join() }
  }
}

/// The cores that this process may run on.
public let coreCount = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

/// A thread of POSIX that was started.
private struct OwnThread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private var thread = pthread_t()

  init?(_ run: @escaping @Sendable () -> Void) {
    let body = Unmanaged.passRetained(Body(run))
    let status = pthread_create(
      &thread, nil,
      { body in
        if let body { Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run() }
        return nil
      }, body.toOpaque())
    guard status == 0 else {
      body.release()
      return nil
    }
  }

  func detach() { pthread_detach(thread) }

  func join() { pthread_join(thread, nil) }
}
