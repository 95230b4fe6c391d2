import Glibc
public import Ledger

/// A key for a command that nobody will ask again.
public func newCommandID() -> StreamID {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  var ids = IDSource.random()
  return ids.next(at: Instant(micros: Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000))
}
