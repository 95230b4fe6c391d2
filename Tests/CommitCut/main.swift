import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers

// COMMIT cut by a TCP proxy: one that drops its answer, and one that drops COMMIT itself. Whoever called
// gets exactly one result, nothing is done twice, nothing is lost.
//
//   commit-cut PORT DATABASE [TIMES]
//
// PORT is of a PostgreSQL on 127.0.0.1 that trusts everybody; DATABASE is a ledger in it, with a login
// `engine` that is a member of opsledger_engine.

final class Trial {
  private let engine: Engine
  private let admin: Connection
  private let proxy: CutProxy
  private let cut: CutProxy.Cut
  private var number = 0

  init(port: UInt16, database: String, through: UInt16, _ cut: CutProxy.Cut) throws {
    self.cut = cut
    proxy = try CutProxy(listen: .tcp(through), server: .tcp(port))
    let target = Session.Target(
      url: "postgresql://engine@127.0.0.1:\(through)/\(database)?sslmode=disable")
    engine = Engine(try Session(target), actor: "proof")
    admin = try Connection(
      url: "postgresql://postgres@127.0.0.1:\(port)/\(database)?sslmode=disable")
    // Caps would end it early.
    _ = try engine.setPolicy("proposal_caps", to: .object([:]), why: "proof")
  }

  func end() {
    engine.session.drop()
    proxy.stop()
  }

  private func newMark() -> String {
    number += 1
    return "\(cut) \(number)"
  }

  /// Calls once, with the next COMMIT cut.
  private func cutting<R>(_ body: () throws -> R) throws -> R {
    proxy.arm(cut)
    let result = Result { try body() }
    guard proxy.disarm() else { throw TestFailure("nothing was cut") }
    return try result.get()
  }

  private func ask(_ sql: String, _ parameters: Parameters) throws -> String {
    try admin.query(Statement(sql), parameters).text(0, 0)
  }

  private func expect(_ found: String, _ expected: String, _ what: String) throws {
    guard found == expected else {
      throw TestFailure("\(what): answered \(expected), recorded \(found)")
    }
  }

  func emit(dedupe: Bool) throws {
    let mark = newMark()
    let emitted = try cutting {
      try engine.emit(
        AgentEvent.Report(
          type: "proof:commit", data: JSON.object(["mark": .string(mark)]).text,
          dedupeKey: dedupe ? mark : nil))
    }
    guard !emitted.isDuplicate else { throw TestFailure("emit: our own event as a duplicate") }
    try expect(
      try ask(
        """
        SELECT string_agg(a.id || ' ' || e.entry, ',') FROM public.ops_agent_events AS a
          JOIN ledger.events AS e ON e.stream = a.id WHERE a.data->>'mark' = $1::text
        """, .texts(mark)), "\(emitted.eventID) \(emitted.entry ?? 0)", "emit")
  }

  private func template(_ mark: String, risk: String) -> JSON {
    .object([
      "title": .string(mark), "risk_level": .string(risk),
      "steps": .array([.object(["kind": .string("noop")])]),
    ])
  }

  private static let outcome = """
    SELECT string_agg(concat_ws(' ', p.id, p.status, m.id), ',') FROM public.ops_mission_proposals AS p
      LEFT JOIN public.ops_missions AS m ON m.proposal_id = p.id WHERE p.template->>'title' = $1::text
    """

  func submit() throws {
    let mark = newMark()
    let submitted = try cutting {
      try engine.submit(template(mark, risk: "low"), source: .manual, dedupeKey: nil)
    }
    guard submitted.status == .autoApproved, let mission = submitted.missionID else {
      throw TestFailure("submit: \(submitted)")
    }
    try expect(
      try ask(Self.outcome, .texts(mark)), "\(submitted.proposalID) auto_approved \(mission)",
      "submit")
  }

  func approve() throws {
    let mark = newMark()
    let waiting = try engine.submit(
      template(mark, risk: "medium"), source: .manual, dedupeKey: nil)
    let mission = try cutting { try engine.approve(waiting.proposalID, why: "proof") }
    try expect(
      try ask(Self.outcome, .texts(mark)), "\(waiting.proposalID) approved \(mission)", "approve")
  }

  private static let leases = """
    SELECT string_agg(concat_ws(' ', l.stream, l.data->>'run_id', l.version), ',')
    FROM ledger.events AS l JOIN public.ops_mission_steps AS s ON s.id = l.stream
      JOIN public.ops_missions AS m ON m.id = s.mission_id
      JOIN public.ops_mission_proposals AS p ON p.id = m.proposal_id
    WHERE l.type = 'step.leased' AND p.template->>'title' = $1::text
    """

  /// Claims one step, and then completes it; one of the two is cut.
  func work(cutClaim: Bool) throws {
    // Earlier trials left missions that nobody worked on.
    while !(try finish(try engine.claim(100, worker: "proof"))) {}
    let mark = newMark()
    _ = try engine.submit(template(mark, risk: "low"), source: .manual, dedupeKey: nil)
    let take = { try self.engine.claim(10, worker: "proof") }
    let claim = cutClaim ? try cutting(take) : try take()
    guard claim.steps.count == 1 else {
      throw TestFailure("claim: \(claim.steps.count) steps were answered where one was queued")
    }
    let step = claim.steps[0]
    try expect(
      try ask(Self.leases, .texts(mark)),
      "\(step.step.id) \(step.token.runID) \(step.token.version)", "claim")
    let give = {
      try self.engine.complete([StepOutcome(step, .succeeded("{}"))])
    }
    let done = cutClaim ? try give() : try cutting(give)
    guard done.succeeded == 1, done.failed == 0, done.refused.isEmpty else {
      throw TestFailure("complete: \(done)")
    }
    try expect(
      try ask(
        """
        SELECT string_agg(type, ',' ORDER BY type) FROM ledger.events
        WHERE data->>'run_id' = $1::text OR stream = $1::text::uuid
        """, .texts(step.token.runID.description)),
      "run.started,run.succeeded,step.leased,step.succeeded", "complete")
  }

  private func finish(_ claim: Claim) throws -> Bool {
    if claim.steps.isEmpty { return true }
    _ = try engine.complete(
      claim.steps.map { StepOutcome($0, .succeeded("{}")) })
    return false
  }

  func verify(_ target: Session.Target) throws {
    let report = try Verifier.run(target)
    guard report.isEqual else { throw TestFailure("verify: \(report.differences.prefix(3))") }
  }
}

do {
  let arguments = CommandLine.arguments
  guard arguments.count >= 3, let port = UInt16(arguments[1]) else {
    throw TestFailure("usage: commit-cut PORT DATABASE [TIMES]")
  }
  let times = arguments.count > 3 ? Int(arguments[3]) ?? 200 : 200
  let cuts: [(String, CutProxy.Cut)] = [
    ("the answer to COMMIT dropped", .answerOfCommit), ("COMMIT dropped", .commit),
  ]
  for (index, (name, cut)) in cuts.enumerated() {
    let trial = try Trial(
      port: port, database: arguments[2], through: port + 1 + UInt16(index), cut)
    let calls: [(String, () throws -> Void)] = [
      ("emit", { try trial.emit(dedupe: false) }),
      ("emit with a dedupe key", { try trial.emit(dedupe: true) }),
      ("submit", { try trial.submit() }), ("approve", { try trial.approve() }),
      ("claim", { try trial.work(cutClaim: true) }),
      ("complete", { try trial.work(cutClaim: false) }),
    ]
    for (call, body) in calls {
      for _ in 0..<times { try body() }
      print("\(name), \(times) times: \(call): one result, nothing twice, nothing lost")
      fflush(nil)
    }
    try trial.verify(
      Session.Target(
        url: "postgresql://engine@127.0.0.1:\(port)/\(arguments[2])?sslmode=disable"))
    trial.end()
  }
} catch {
  print("UNTRUE: \(error)")
  exit(1)
}
