import Ledger
import Threads

/// Runs pieces of work on threads, and takes their results in the order of the pieces. At most `width` pieces run or
/// wait to be taken, which bounds the memory.
struct InOrder<Made: Sendable> {
  /// One piece's result on its way from its thread.
  private typealias Slot = BoundedQueue<Result<Made, Damage>>

  private let width: Int
  private let take: (Made) throws(OpsError) -> Void
  /// The error of a failed piece of work, by its number.
  private let refuse: (Damage, Int) -> OpsError
  private var pending: ArraySlice<Slot> = []
  private var taken = 0

  init(
    width: Int = 3, refuse: @escaping (Damage, Int) -> OpsError,
    take: @escaping (Made) throws(OpsError) -> Void
  ) {
    self.width = width
    self.refuse = refuse
    self.take = take
  }

  mutating func add(
    _ work: @escaping @Sendable () throws(Damage) -> Made
  ) throws(OpsError) {
    while pending.count >= width { try takeNext() }
    let slot = Slot()
    pending.append(slot)
    runOnThread { slot.put(Result { () throws(Damage) in try work() }) }
  }

  /// Takes all remaining results.
  mutating func finish() throws(OpsError) {
    while !pending.isEmpty { try takeNext() }
  }

  private mutating func takeNext() throws(OpsError) {
    guard let slot = pending.popFirst() else { return }
    let number = taken
    taken += 1
    switch slot.take() {
    case .success(let made): try take(made)
    case .failure(let damage): throw refuse(damage, number)
    case nil: throw refuse(Damage("its result is missing"), number)
    }
  }
}
