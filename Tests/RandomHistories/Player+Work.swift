import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// What workers do, and who tries again what failed.
extension Player {
  func claim() throws {
    try countSweep("claim")
    let halt = world.halt
    let claim = try engine.claim(1 + generator.below(3), worker: name)
    if let halt, halt == world.halt {
      guard claim.steps.isEmpty else {
        throw TestFailure("halted, a claim took \(claim.steps.count) steps")
      }
    }
    world.with { state in
      for step in claim.steps {
        state.promises.leased[step.token.runID] = step.token.version
        state.held.append(World.Held(step: step, claim: claim))
      }
    }
  }

  /// Mostly what was claimed of late; else anything that was ever held, whoever has it now.
  private func held() throws -> World.Held? {
    let held = world.with { $0.held }
    guard !held.isEmpty else { return nil }
    if pairs != nil, generator.below(5) == 0, let over = try over(of: held) { return over }
    return generator.pick(generator.below(3) == 0 ? held : Array(held.suffix(4)))
  }

  /// Few steps that once were held are skipped, or to be tried again, so they are looked for.
  private func over(of held: [World.Held]) throws -> World.Held? {
    let rows = try clock.query(generator.flip() ? States.skipped : States.requeued)
    for row in 0..<rows.count {
      let id = StreamID(try rows.uuid(row, 0))
      if let found = held.last(where: { $0.step.step.id == id }) { return found }
    }
    return nil
  }

  /// Of one step, or of all that came with it from one claim.
  func complete(_ move: Move) throws {
    guard let one = try held() else { return }
    var all = [one]
    if generator.below(3) == 0 {
      all += world.with { state in
        state.held.filter { $0.step.entry == one.step.entry && $0.step.token != one.step.token }
      }
    }
    for held in all { try countTarget(held.step.step.id, "\(move)") }
    let runs = all.map(\.step.token.runID)
    world.with { state in for run in runs { state.promises.doubtful[run, default: 0] += 1 } }
    let outcomes = all.map { StepOutcome($0.step, result(move)) }
    let completion = try engine.complete(outcomes)
    let refused = completion.refused.map(\.0.token.runID)
    world.with { state in
      for run in runs {
        state.promises.doubtful[run, default: 0] -= 1
        if !refused.contains(run) { state.promises.outcomes[run, default: 0] += 1 }
      }
    }
    guard completion.succeeded + completion.failed + refused.count == all.count else {
      throw TestFailure("\(all.count) outcomes were answered \(completion)")
    }
  }

  private func result(_ move: Move) -> StepOutcome.Result {
    switch move {
    case .succeed: .succeeded(#"{"by": "\#(name)"}"#)
    case .fail: .failed(generator.pick([.exit, .timeout]), error: "no", result: nil)
    default: .radar(radar())
    }
  }

  private func radar() -> Radar.Command {
    let title = "item-\(generator.below(3))"
    return switch generator.below(3) {
    case 0: .list
    case 1: .add(Radar.Fields(title: title))
    default: .update(.title(title), Radar.Fields(stage: generator.pick(Radar.Stage.allCases)))
    }
  }

  func renew() throws {
    guard let held = try held() else { return }
    try countTarget(held.step.step.id, "renew")
    let id = held.step.step.id
    let renewed = try engine.renew([(id, held.step.token)])
    guard let token = renewed[id] else { return }
    world.with { state in
      for index in state.held.indices where state.held[index].step.token == held.step.token {
        state.held[index].step.token = token
      }
    }
  }

  func jump() throws {
    let seconds = generator.pick([1, 2, 5, 20, 70, 130, 301, 301])
    try clock.execute("UPDATE public.test_clock SET moved = moved + interval '\(seconds) s'")
  }

  // MARK: Trying again

  /// Mostly a step that is dead; else one that is not, which must be refused.
  func retry() throws {
    let isAny = generator.below(3) == 0
    let rows = try clock.query(isAny ? States.anySteps : States.deadSteps)
    guard rows.count > 0 else { return }
    let id = StreamID(try rows.uuid(generator.below(rows.count), 0))
    try countTarget(id, "retry")
    let mark = world.newMark()
    world.with { $0.promises.requeued[mark] = .some(nil) }
    do {
      let count = try engine.retry(id, why: mark).steps
      world.with { $0.promises.requeued[mark] = count }
    } catch {
      guard error.code == .conflict, error.facts["status"] != nil else { throw error }
      world.with { $0.promises.requeued[mark] = 0 }
    }
  }

  func retryDead() throws {
    try countSweep("bulk")
    let mark = world.newMark()
    world.with { $0.promises.requeued[mark] = .some(nil) }
    let kind = generator.pick([nil, nil, "radar"])
    let counts = try engine.retryDead(
      DeadStepFilter(kind: kind, limit: generator.pick([1, 3, 1000])), why: mark)
    world.with { $0.promises.requeued[mark] = counts.steps }
  }
}
