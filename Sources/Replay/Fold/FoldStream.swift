import Dispatch
package import Ledger
import Log
import Synchronization
import Threads

/// Folds slices on threads of its own, makes a value of each fold, and hands the values over. At most one value waits for
/// each worker: memory holds a few slices, never the log.
final class FoldStream<Made> {
  typealias Make = @Sendable (consuming Fold, Slice) throws(OpsError) -> Made

  /// Carries a value from the thread that made it to the thread that writes it. The maker keeps no reference.
  private final class Box: @unchecked Sendable {
    let result: Result<Made, OpsError>

    init(_ result: Result<Made, OpsError>) { self.result = result }
  }

  private final class Shared: Sendable {
    let made = BoundedQueue<Box>(capacity: 1)
    let next = Atomic<Int>(0)
    let workers = DispatchGroup()
  }

  private let shared = Shared()
  private var left: Int
  /// Why not all workers could be started. ``next()`` throws it.
  private var failure: OpsError?

  init(
    _ slices: [Slice], entries: ClosedRange<Int64>? = nil, _ target: Session.Target,
    snapshot: String, workers: Int, lent: LentReader? = nil, _ progress: ReplayProgress,
    make: @escaping Make
  ) {
    left = slices.count
    let work: @Sendable () -> Void = { [shared] in
      do throws(OpsError) {
        let session = lent == nil ? try Session(target) : nil
        defer { session?.drop() }
        let reader =
          if let session { try SharedSnapshot.join(snapshot, session) } else { lent?.reader }
        guard let reader else { return }
        while !shared.made.isClosed {
          let index = shared.next.add(1, ordering: .relaxed).oldValue
          guard index < slices.count else { return }
          let fold = try slices[index].fold(on: reader, entries: entries, progress)
          shared.made.put(Box(.success(try make(fold, slices[index]))))
        }
      } catch {
        shared.made.put(Box(.failure(error)))
      }
    }
    for _ in 0..<min(lent == nil ? workers : 1, slices.count) {
      shared.workers.enter()
      let isStarted = startThread { [shared] in
        work()
        shared.workers.leave()
      }
      if isStarted { continue }
      shared.workers.leave()
      failure = .noThread
      break
    }
  }

  /// The next value, in no particular order; nil after the last.
  func next() throws(OpsError) -> Made? {
    if let failure { throw failure }
    guard left > 0, let box = shared.made.take() else { return nil }
    left -= 1
    switch box.result {
    case .success(let made): return made
    case .failure(let error):
      left = 0
      throw error
    }
  }

  /// Tells the workers to end and waits for them.
  func stop() {
    shared.made.close()
    shared.workers.wait()
  }
}

extension OpsError {
  /// The operating system refused to start a thread.
  package static var noThread: OpsError {
    OpsError(
      .databaseUnreachable, "the operating system refused to start another thread for this process",
      hint: "see `ulimit -u`, and TasksMax of a systemd unit")
  }
}
