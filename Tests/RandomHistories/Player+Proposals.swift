import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// Events, proposals and what is made of them.
extension Player {
  func emit() throws {
    let mark = world.newMark()
    let key = generator.below(3) == 0 ? "event-\(generator.below(6))" : nil
    var data: [String: JSON] = [
      "mark": .string(mark), "key": .string("key-\(generator.below(5))"),
      "size": .int(generator.below(10)),
    ]
    if generator.below(4) == 0 { data["tags"] = .array([.string("rare")]) }
    if generator.below(10) == 0 { data["mark2"] = data.removeValue(forKey: "key") }
    let type = generator.pick(["job:done", "job:odd", "job:unknown", "build:failed", "other"])
    world.with { $0.promises.emitted[mark] = .some(nil) }
    let emitted = try engine.emit(
      AgentEvent.Report(type: type, data: JSON.object(data).text, dedupeKey: key))
    world.with { $0.promises.emitted[mark] = emitted }
  }

  func submit() throws {
    let mark = world.newMark()
    let key = generator.below(3) == 0 ? "proposal-\(generator.below(5))" : nil
    if let key, let state = try state(States.holder, .texts(key)).first {
      pairs?.count("proposal", state, "submit")
    }
    world.with { $0.promises.submitted[mark] = .some(nil) }
    let outcome = try engine.submit(
      template(mark), source: generator.pick(Proposal.Source.allCases), dedupeKey: key)
    world.with { state in
      state.promises.submitted[mark] = outcome
      state.proposals.append(outcome.proposalID)
    }
  }

  private func template(_ mark: String) -> JSON {
    let count = 1 + generator.below(3)
    var steps: [JSON] = []
    for index in 0..<count {
      var step: [String: JSON] = ["kind": .string(generator.below(4) == 0 ? "radar" : "noop")]
      if generator.flip() { step["max_retries"] = .int(generator.pick([0, 1, 1, 2])) }
      if index > 1, generator.flip() { step["needs"] = .array([.int(generator.below(index))]) }
      steps.append(.object(step))
    }
    return .object([
      "title": .string(mark), "steps": .array(steps), "parallel": .bool(generator.flip()),
      "risk_level": .string(generator.pick(["low", "low", "medium", "high"])),
    ])
  }

  func decide(approve: Bool) throws {
    let known = world.with { $0.proposals }
    guard !known.isEmpty else { return }
    let id = generator.pick(Array(known.suffix(12)))
    if let state = try state(States.proposal, .id(id)).first {
      pairs?.count("proposal", state, approve ? "approve" : "reject")
    }
    do {
      if approve {
        let mission = try engine.approve(id, why: generator.flip() ? name : nil)
        world.with { _ = $0.promises.approved[id, default: []].insert(mission) }
      } else {
        try engine.reject(id, why: name)
      }
    } catch {
      let isDecidedOtherwise = error.code == .conflict && error.facts["status"] != nil
      guard isDecidedOtherwise else { throw error }
    }
  }

  func vote() throws {
    let known = world.with { $0.proposals }
    guard !known.isEmpty else { return }
    let recent = Array(known.suffix(12))
    var id = generator.pick(recent)
    // Few are voted over, so they are looked for.
    if generator.below(3) > 0, let voting = try voting(of: recent) { id = voting }
    if let state = try state(States.proposal, .id(id)).first {
      pairs?.count("proposal", state, "vote")
    }
    let vote = generator.pick([Proposal.Vote.approve, .approve, .approve, .abstain, .reject])
    do {
      let outcome = try engine.vote(
        vote, on: id, as: generator.pick(["sage", "observer", "architect"]), why: name)
      if let mission = outcome.missionID {
        world.with { _ = $0.promises.approved[id, default: []].insert(mission) }
      }
    } catch {
      let isDecidedOtherwise = error.code == .conflict && error.facts["status"] != nil
      guard isDecidedOtherwise else { throw error }
    }
  }

  private func voting(of known: [StreamID]) throws -> StreamID? {
    var parameters = Parameters()
    parameters.uuids(known)
    let rows = try clock.query(States.voting, parameters)
    return rows.count == 0 ? nil : StreamID(try rows.uuid(generator.below(rows.count), 0))
  }

  func heartbeat() throws {
    try countSweep("recover")
    try countSweep("heartbeat")
    let halt = world.halt
    let report = try engine.heartbeat(drain: generator.flip())
    guard let halt, halt == world.halt else { return }
    guard report.isBusy || report.halt != nil && report.events + report.processed == 0 else {
      throw TestFailure("halted, a heartbeat did \(report)")
    }
  }
}
