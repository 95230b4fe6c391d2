import Glibc
public import Ledger

/// The id of a command that has no idempotency key: a UUID of version 7.
public func newCommandID() -> StreamID {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  var ids = IDSource.random()
  return ids.next(at: Instant(micros: Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000))
}
