import Dispatch
package import Ledger
import Log
import Synchronization
import Threads

/// Folds slices on threads of their own, makes of each what is to be written, and hands that over, at most
/// one waiting for each worker: memory holds a few slices, never the log.
final class FoldStream<Made> {
  typealias Make = @Sendable (consuming Fold, Slice) throws(OpsError) -> Made

  /// What was made on its way from its thread to the one that writes it. Never shared: its maker lets
  /// go of it.
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
  /// Why not all workers could be started.
  private var failure: OpsError?

  init(
    _ slices: [Slice], entries: ClosedRange<Int64>? = nil, _ target: Session.Target,
    snapshot: String, workers: Int, lent: LentReader? = nil, _ progress: ReplayProgress,
    make: @escaping Make
  ) {
    left = slices.count
    for _ in 0..<min(lent == nil ? workers : 1, slices.count) {
      shared.workers.enter()
      let isStarted = startThread { [shared] in
        Self.work(slices, entries, target, snapshot, lent, progress, shared, make)
        shared.workers.leave()
      }
      if isStarted { continue }
      shared.workers.leave()
      // Whoever asks for the next slice is told.
      failure = .noThread
      break
    }
  }

  private static func work(
    _ slices: [Slice], _ entries: ClosedRange<Int64>?, _ target: Session.Target,
    _ snapshot: String, _ lent: LentReader?, _ progress: ReplayProgress, _ shared: Shared,
    _ make: Make
  ) {
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

  /// What was made of the next slice, in no particular order; nil after the last.
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

  /// Lets the workers end and waits for them.
  func stop() {
    shared.made.close()
    shared.workers.wait()
  }
}

extension OpsError {
  /// The system gives this process no further thread.
  package static var noThread: OpsError {
    OpsError(
      .databaseUnreachable, "the system has no thread left for this process",
      hint: "see `ulimit -u`, and TasksMax of a systemd unit")
  }
}
