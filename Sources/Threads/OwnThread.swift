import Glibc

/// Runs `body` on a new thread, whatever other work there is.
///
/// Work that another thread waits for must not run on a queue of Dispatch. These queues share a pool with one thread a
/// core: if each of its threads waits for work that is queued behind it, all wait for ever.
///
/// - Returns: False, and does not run `body`, if the system has no further thread.
public func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
  guard let thread = OwnThread(body) else { return false }
  thread.detach()
  return true
}

/// Runs `body` on a new thread, or on this one if the system has no further thread.
public func runOnThread(_ body: @escaping @Sendable () -> Void) {
  if !startThread(body) { body() }
}

/// Runs `body` for 0 to `count - 1` at the same time, and waits for all: for 0 on this thread, and for each other number on
/// a new one, or on this one if the system has no further thread.
public func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
  guard count > 0 else { return }
  withoutActuallyEscaping(body) { body in
    var threads: [OwnThread] = []
    var here = [0]
    for index in 1..<count {
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

/// The number of cores.
public let coreCount = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

/// A started POSIX thread.
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
