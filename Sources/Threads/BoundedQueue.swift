import Glibc

/// Hands things from threads to threads: whoever puts waits while it is full, whoever takes while it is empty.
///
/// Its own lock and condition, since ``Synchronization/Mutex`` has none that waits, and a semaphore of Dispatch ends the
/// process that lets go of one which stands lower than it was made.
public final class BoundedQueue<Element: Sendable>: @unchecked Sendable {
  private let capacity: Int
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  /// Something was put or taken, or it was closed.
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  // Under the lock.
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

  /// - Returns: False where it is closed: nobody takes it any more.
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

  /// - Returns: Nil once it is closed and all was taken.
  public func take() -> Element? {
    locked {
      while elements.isEmpty, !isOver { pthread_cond_wait(changed, lock) }
      if elements.isEmpty { return nil }
      pthread_cond_broadcast(changed)
      return elements.removeFirst()
    }
  }

  /// Everything that is there, as soon as there is something.
  ///
  /// - Returns: Nothing where there was nothing for so long, or it is closed.
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

  /// Nothing is put from now on; what is there can be taken.
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
