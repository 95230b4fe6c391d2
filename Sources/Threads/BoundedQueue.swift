import Glibc

/// A queue between threads. `put` waits while it is full, and `take` waits while it is empty.
///
/// It uses a condition variable of POSIX: ``Synchronization/Mutex`` has none, and Dispatch ends a process that releases a
/// semaphore whose value is lower than at its creation.
public final class BoundedQueue<Element: Sendable>: @unchecked Sendable {
  private let capacity: Int
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  /// Signals that something was put or taken, or that the queue was closed.
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  // Used under the lock only.
  private var elements: [Element] = []
  private var isOver = false

  public init(capacity: Int = .max) {
    self.capacity = capacity
    pthread_mutex_init(lock, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(changed, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(lock)
    changed.deallocate()
    lock.deallocate()
  }

  /// - Returns: False, and adds nothing, if the queue is closed.
  @discardableResult
  public func put(_ element: Element) -> Bool {
    locked {
      while elements.count >= capacity, !isOver { pthread_cond_wait(changed, lock) }
      if isOver { return false }
      elements.append(element)
      pthread_cond_broadcast(changed)
      return true
    }
  }

  /// - Returns: Nil if the queue is closed and empty.
  public func take() -> Element? {
    locked {
      while elements.isEmpty, !isOver { pthread_cond_wait(changed, lock) }
      if elements.isEmpty { return nil }
      pthread_cond_broadcast(changed)
      return elements.removeFirst()
    }
  }

  /// Waits for an element, and takes all that are there.
  ///
  /// - Returns: No elements if none came in time, or the queue is closed and empty.
  public func takeAll(withinSeconds seconds: Double) -> [Element] {
    var until = timespec()
    clock_gettime(CLOCK_MONOTONIC, &until)
    let nanoseconds = until.tv_nsec + Int(seconds * 1e9)
    until.tv_sec += nanoseconds / 1_000_000_000
    until.tv_nsec = nanoseconds % 1_000_000_000
    return locked {
      while elements.isEmpty, !isOver, pthread_cond_timedwait(changed, lock, &until) == 0 {}
      defer { elements = [] }
      if !elements.isEmpty { pthread_cond_broadcast(changed) }
      return elements
    }
  }

  /// Ends the queue. Its elements can still be taken.
  public func close() {
    locked {
      isOver = true
      pthread_cond_broadcast(changed)
    }
  }

  public var isClosed: Bool { locked { isOver } }

  private func locked<R>(_ body: () -> R) -> R {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body()
  }
}
