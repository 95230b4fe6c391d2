import Dispatch
import Ledger
import Log
import Synchronization

extension Engine {
  /// Takes events on this connection and reactions on another, side by side, until no batch is full: each
  /// half of a heartbeat waits mostly for the server. It is still one heartbeat, which holds the lock.
  func drainSideBySide(
    _ progress: (HeartbeatReport) -> Void
  ) throws(OpsError) -> HeartbeatReport {
    let reactions = ReactionsDrain(session.target, actor: actor, settings)
    var sum = HeartbeatReport()
    do throws(OpsError) {
      var isFull = true
      while isFull, !reactions.hasFailed {
        let batch = try beat(leavingReactions: true)
        if batch.queued > 0 { reactions.goOn() }
        progress(batch)
        sum = sum + batch
        isFull = batch.filledBatch
      }
    } catch {
      // The first error is the one to tell.
      _ = try? reactions.end()
      throw error
    }
    return sum + (try reactions.end())
  }
}

/// A thread that turns reactions into proposals whenever it is told that there are some.
private final class ReactionsDrain: Sendable {
  private struct State {
    var report = HeartbeatReport()
    var error: OpsError?
    var isOver = false
  }

  private let state = Mutex(State())
  private let signal = DispatchSemaphore(value: 0)
  private let group = DispatchGroup()

  init(_ target: Session.Target, actor: String, _ settings: LoopSettings) {
    DispatchQueue(label: "reactions").async(group: group) { [self] in
      do throws(OpsError) {
        let engine = Engine(try Session(target), actor: actor, settings: settings)
        while true {
          let isOver = state.withLock(\.isOver)
          try drain(engine)
          if isOver { break }
          signal.wait()
        }
      } catch {
        state.withLock { $0.error = error }
      }
    }
  }

  private func drain(_ engine: Engine) throws(OpsError) {
    var isFull = true
    while isFull {
      let taken = try engine.takeReactions()
      if taken.created > 0 { engine.wake() }
      state.withLock { state in
        state.report.processed += taken.processed
        state.report.created += taken.created
      }
      isFull = taken.processed == engine.settings.reactionBatch
    }
  }

  var hasFailed: Bool { state.withLock { $0.error != nil } }

  func goOn() { signal.signal() }

  /// Waits until it has taken what there is.
  func end() throws(OpsError) -> HeartbeatReport {
    state.withLock { $0.isOver = true }
    signal.signal()
    group.wait()
    let (report, error) = state.withLock { ($0.report, $0.error) }
    if let error { throw error }
    return report
  }
}
