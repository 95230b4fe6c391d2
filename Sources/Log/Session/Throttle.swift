internal import Dispatch
internal import Glibc
public import Postgres
internal import Synchronization

/// Makes a replay rest for most of the time while others record. Without it, a replay on two cores halves the loop's
/// throughput.
public final class Throttle: ReadPace {
  /// The time between two checks whether others record.
  private static let lookNanoseconds: UInt64 = 100_000_000
  /// So many new entries between two checks count as load: twenty a second.
  private static let entriesMin: Int64 = 2
  /// Seconds of rest after each second of reading, while others record.
  private static let restFactor = 2.0

  private struct State {
    var session: Session?
    var lookedAt: UInt64 = 0
    var allocated: Int64?
    var isBusy = false
  }

  private let target: Session.Target
  private let state = Mutex(State())

  /// - Parameter target: The database that is read.
  public init(_ target: Session.Target) { self.target = target }

  public func rest(after nanoseconds: UInt64) {
    guard isBusy() else { return }
    usleep(UInt32(min(Self.restFactor * Double(nanoseconds) / 1000, 1_000_000)))
  }

  private func isBusy() -> Bool {
    state.withLock { state in
      let now = DispatchTime.now().uptimeNanoseconds
      guard now - state.lookedAt > Self.lookNanoseconds else { return state.isBusy }
      state.lookedAt = now
      // If the database cannot be asked, the reader finds out by itself.
      let session = state.session ?? (try? Session(target))
      state.session = session
      let allocated = try? session?.query(Self.allocated).int8(0, 0)
      if let allocated, let before = state.allocated {
        state.isBusy = allocated - before >= Self.entriesMin
      }
      state.allocated = allocated
      return state.isBusy
    }
  }

  /// 0 on a standby: it receives numbers in advance, and a reader there takes nothing from the loop.
  private static let allocated = Statement(
    """
    SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE (SELECT s.last_value FROM ledger.entry_sequence AS s) END
    """)
}

extension Session.Target {
  /// The same target, read at the pace of a ``Throttle``.
  public func courteous() -> Session.Target {
    var target = self
    target.pace = Throttle(self)
    return target
  }
}
