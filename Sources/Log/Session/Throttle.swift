internal import Dispatch
internal import Glibc
public import Postgres
internal import Synchronization

/// Lets the loop go first: while others record, its readers rest for most of the time. On two cores a replay that
/// does not takes half of the loop's pace.
public final class Throttle: ReadPace {
  /// How often it looks whether others record.
  private static let lookNanoseconds: UInt64 = 100_000_000
  /// Fewer entries between two looks are no load: twenty a second.
  private static let entriesMin: Int64 = 2
  /// For each second that was read, while others record.
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
      // Where it cannot be asked, whoever reads finds out by itself.
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

  /// A standby is told numbers in advance; what reads there takes nothing from the loop.
  private static let allocated = Statement(
    """
    SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE (SELECT s.last_value FROM ledger.entry_sequence AS s) END
    """)
}

extension Session.Target {
  /// The same, read with throttle.
  public func courteous() -> Session.Target {
    var target = self
    target.pace = Throttle(self)
    return target
  }
}
