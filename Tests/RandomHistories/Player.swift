import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// One worker of a seed: sends random commands, through a proxy that cuts some of them short.
final class Player {
  enum Move: CaseIterable {
    case emit, submit, approve, reject, policy, heartbeat, claim, succeed, fail, radar, renew, jump
    case recover, vote

    /// How many of a hundred.
    var weight: Int {
      switch self {
      case .emit: 11
      case .submit: 13
      case .approve: 5
      case .reject: 4
      case .policy: 3
      case .heartbeat: 8
      case .claim: 16
      case .succeed: 10
      case .fail: 8
      case .radar: 5
      case .renew: 4
      case .jump: 4
      case .recover: 2
      case .vote: 7
      }
    }
  }

  static let matrix = """
    {"patterns": [
      {"id": "one", "event_type": ["job:*", "build:failed"], "template": {"risk_level": "low",
        "title": "{{ event.data.mark }}", "steps": [{"kind": "noop"}, {"kind": "noop"}]}},
      {"id": "two", "event_type": "job:odd", "cooldown_minutes": 1, "dedupe_key": "{{ event.data.key }}",
        "proposal_source": "trigger", "template": {"risk_level": "medium",
        "steps": [{"kind": "radar", "params": {"action": "list"}}]}},
      {"id": "unknown", "event_type": "job:unknown", "template": {"steps": [{"kind": "sing"}]}},
      {"id": "rare", "event_type": "*", "probability": 0.1, "tags": ["rare"],
        "template": {"risk_level": "low", "steps": [{"kind": "noop"}]}},
      {"id": "own", "event_type": "mission:failed", "template": {"risk_level": "high",
        "title": "{{ event.data.mission_id }}", "steps": [{"kind": "noop"}]}}]}
    """

  let engine: Engine
  let proxy: CutProxy
  let world: World
  let clock: Connection
  /// Nil where others play at the same time: what a state was cannot be told then.
  let pairs: Pairs?
  let name: String
  var generator: Generator
  private var dies = false

  init(
    _ engine: Engine, _ proxy: CutProxy, _ world: World, clock: Connection, pairs: Pairs?,
    name: String, seed: UInt64
  ) {
    self.engine = engine
    self.proxy = proxy
    self.world = world
    self.clock = clock
    self.pairs = pairs
    self.name = name
    generator = Generator(seed: seed)
  }

  /// Makes one move. One of sixteen is cut; of those half are made by a caller who dies with it.
  func play() throws {
    var dice = generator.below(100)
    let move =
      Move.allCases.first { move in
        dice -= move.weight
        return dice < 0
      } ?? .claim
    let isCut = generator.below(16) == 0
    dies = isCut && generator.flip()
    engine.session.attemptsMax = dies ? 1 : 12
    if isCut {
      proxy.arm(
        generator.below(3) == 0
          ? .answer(batches: 1 + generator.below(2)) : .afterStatements(generator.below(15)))
    }
    defer { if isCut { proxy.disarm() } }
    do {
      try make(move)
    } catch let error as OpsError {
      // Who dies gets no answer, and neither does who races against others without a second try.
      let isNoAnswer = error.code == .databaseUnreachable || error.code == .conflict
      // A heartbeat asks for more than commands, and gives up where it is cut there.
      let mayGiveUp = dies || isCut && move == .heartbeat
      guard mayGiveUp, isNoAnswer else { throw TestFailure("\(move): \(error)") }
    }
  }

  private func make(_ move: Move) throws {
    switch move {
    case .emit: try emit()
    case .submit: try submit()
    case .approve, .reject: try decide(approve: move == .approve)
    case .policy: try setPolicy()
    case .heartbeat: try heartbeat()
    case .claim: try claim()
    case .succeed, .fail, .radar: try complete(move)
    case .renew: try renew()
    case .vote: try vote()
    case .jump: try jump()
    case .recover:
      try countSweep("recover")
      _ = try engine.recoverLeases()
    }
  }

  // MARK: Events and proposals

  private func emit() throws {
    let mark = world.newMark()
    let key = generator.below(3) == 0 ? "event-\(generator.below(6))" : nil
    var data: [String: JSON] = ["mark": .string(mark), "key": .string("key-\(generator.below(5))")]
    if generator.below(4) == 0 { data["tags"] = .array([.string("rare")]) }
    if generator.below(10) == 0 { data["mark2"] = data.removeValue(forKey: "key") }
    let type = generator.pick(["job:done", "job:odd", "job:unknown", "build:failed", "other"])
    world.with { $0.promises.emitted[mark] = .some(nil) }
    let emitted = try engine.emit(
      AgentEvent.Report(type: type, data: JSON.object(data).text, dedupeKey: key))
    world.with { $0.promises.emitted[mark] = emitted }
  }

  private func submit() throws {
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
      if generator.flip() { step["max_retries"] = .int(generator.pick([0, 1, 1, 3])) }
      if index > 1, generator.flip() { step["needs"] = .array([.int(generator.below(index))]) }
      steps.append(.object(step))
    }
    return .object([
      "title": .string(mark), "steps": .array(steps), "parallel": .bool(generator.flip()),
      "risk_level": .string(generator.pick(["low", "low", "medium", "high"])),
    ])
  }

  private func decide(approve: Bool) throws {
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

  private func vote() throws {
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

  private func setPolicy() throws {
    let (key, value) = generator.pick([
      ("proposal_caps", #"{"daily_limit": 400}"#), ("proposal_caps", "{}"),
      ("proposal_caps", #"{"per_source": {"api": 2, "reaction": 30}}"#),
      ("auto_approve", #"{"enabled": true, "max_risk_level": "low"}"#),
      ("auto_approve", #"{"enabled": true, "max_risk_level": "low"}"#),
      ("auto_approve", #"{"enabled": false}"#),
      ("voting_policy", #"{"enabled": true, "thresholds": {"medium": 1}, "deadline_minutes": 5}"#),
      ("voting_policy", #"{"enabled": true, "required_voters": ["sage"], "veto": false}"#),
      ("voting_policy", #"{"enabled": false}"#),
      ("worker_policy", #"{"max_retries": 2, "lease_minutes": 2}"#),
      ("worker_policy", #"{"blocked_executors": ["radar"]}"#), ("worker_policy", "{}"),
      ("loop", #"{"state": "running"}"#), ("loop", #"{"state": "running"}"#),
    ])
    _ = try engine.setPolicy(key, to: JSON(parsing: value), why: name)
  }

  private func heartbeat() throws {
    try countSweep("recover")
    try countSweep("heartbeat")
    _ = try engine.heartbeat(drain: generator.flip())
  }

  // MARK: Work

  private func claim() throws {
    try countSweep("claim")
    let claim = try engine.claim(1 + generator.below(3), worker: name)
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
    if pairs != nil, generator.below(5) == 0, let skipped = try skipped(of: held) { return skipped }
    return generator.pick(generator.below(3) == 0 ? held : Array(held.suffix(4)))
  }

  /// Few steps are skipped that once were held, so they are looked for.
  private func skipped(of held: [World.Held]) throws -> World.Held? {
    let rows = try clock.query(States.skipped)
    for row in 0..<rows.count {
      let id = StreamID(try rows.uuid(row, 0))
      if let found = held.last(where: { $0.step.step.id == id }) { return found }
    }
    return nil
  }

  private func complete(_ move: Move) throws {
    guard let held = try held() else { return }
    try countTarget(held.step.step.id, "\(move)")
    let run = held.step.token.runID
    let result: StepOutcome.Result
    switch move {
    case .succeed: result = .succeeded(#"{"by": "\#(name)"}"#)
    case .fail: result = .failed(generator.pick([.exit, .timeout]), error: "no", result: nil)
    default: result = .radar(radar())
    }
    world.with { $0.promises.doubtful[run, default: 0] += 1 }
    let completion = try engine.complete([StepOutcome(held.step, result)], claim: held.claim)
    world.with { state in
      state.promises.doubtful[run, default: 0] -= 1
      state.promises.outcomes[run, default: 0] += completion.succeeded + completion.failed
    }
    guard completion.succeeded + completion.failed + completion.refused.count == 1 else {
      throw TestFailure("one outcome was answered \(completion)")
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

  private func renew() throws {
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

  private func jump() throws {
    let seconds = generator.pick([1, 2, 5, 20, 70, 130, 301, 301])
    try clock.execute("UPDATE public.test_clock SET moved = moved + interval '\(seconds) s'")
  }

  // MARK: Counting

  private func state(_ statement: Statement, _ parameters: Parameters) throws -> [String] {
    guard pairs != nil else { return [] }
    let rows = try clock.query(statement, parameters)
    guard rows.count > 0 else { return [] }
    return try (0..<rows.columnCount).map { try rows.text(0, $0) }
  }

  private func countTarget(_ step: StreamID, _ command: String) throws {
    let states = try state(States.step, .id(step))
    guard states.count == 2 else { return }
    pairs?.count("step", states[0], command)
    pairs?.count("mission", states[1], command)
  }

  private func countSweep(_ command: String) throws {
    guard let pairs else { return }
    let rows = try clock.query(States.all)
    for row in 0..<rows.count {
      let noun = try rows.text(row, 0)
      let isLooped = noun == "reaction" || noun == "proposal"
      guard isLooped == (command == "heartbeat") else { continue }
      pairs.count(noun, try rows.text(row, 1), command)
    }
  }
}

extension Parameters {
  static func id(_ id: StreamID) -> Parameters {
    var parameters = Parameters()
    parameters.uuid(id)
    return parameters
  }
}
