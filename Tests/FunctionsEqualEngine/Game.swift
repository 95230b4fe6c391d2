import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers
import TestSupport

/// One history, played command by command through the engine on one ledger and through the origin's
/// functions, with its workers' plain SQL, on another.
final class Game {
  enum Move: CaseIterable {
    case submit, vote, approve, reject, claim, drain, succeed, fail, renew, recover, retry, policy
    case jump, check, settle, unlease, resume, voteOver

    /// How many of a hundred and some.
    var weight: Int {
      switch self {
      case .claim: 20
      case .fail: 14
      case .succeed: 12
      case .submit, .jump: 11
      case .voteOver: 10
      case .retry: 7
      case .vote, .approve, .recover, .policy, .drain: 5
      case .reject, .check, .settle: 3
      case .renew, .unlease: 2
      case .resume: 0
      }
    }
  }

  /// What a worker holds, on both sides.
  struct Held {
    var step: ClaimedStep
    let claim: Claim
    let other: Other
    /// The step's on the other side.
    struct Other {
      let step: String
      let mission: String
      let kind: String
      let reservedAt: String
    }
  }

  let engine: Engine
  let engineConnection: Connection
  let left: Side
  let right: Side
  /// The client of the functions: an operator.
  let client: Connection
  /// Holds what a claim is to pass over.
  let other: Connection
  var generator = Generator(seed: 0)
  /// 2026-01-01T23:40:00Z and later: midnight is not far.
  var now: Int64 = 0
  var proposals: [(left: StreamID, right: String)] = []
  var held: [Held] = []
  var submitted = 0
  var isHalted = false
  /// In a third of the histories one failure is the last, and missions have many steps side by side: then
  /// several of one die.
  var isFragile = false
  let coverage: Coverage

  init(_ left: TestLedger, _ right: TestLedger, _ coverage: Coverage) throws {
    self.left = try Side(left)
    self.right = try Side(right)
    self.coverage = coverage
    engine = try left.engine("worker/left")
    engineConnection = try engine.session.connection()
    client = try Connection(url: right.adminURL)
    try client.execute("SET ROLE opsledger_operator; SET timezone = 'UTC'")
    other = try Connection(url: right.adminURL)
    try engineConnection.execute("SET timezone = 'UTC'")
  }

  func play(_ seed: UInt64, commands: Int, comparesEach: Bool) throws {
    try left.empty()
    try right.empty()
    generator = Generator(seed: seed)
    now = 1_767_310_800_000_000
    (proposals, held, submitted, isHalted) = ([], [], 0, false)
    try tick(seconds: 1)
    isFragile = seed.isMultiple(of: 3)
    if isFragile { try set(policy: "worker_policy", to: #"{"max_retries": 1}"#) }
    for command in 0..<commands {
      // At least three proposals each.
      let move = command < 3 ? .submit : pick()
      do {
        try tick(seconds: 1)
        try make(move)
        if comparesEach { try compare() }
      } catch {
        throw TestFailure("command \(command), \(move): \(error)")
      }
    }
    try compare()
    coverage.add(try left.ask(Coverage.transitions))
  }

  /// Whatever was played: the last history's tables are what its log says.
  func verify() throws {
    for side in [left, right] {
      let report = try side.ledger.verify()
      guard !report.isEqual else { continue }
      throw TestFailure("replay differs from the tables: \(report.differences.prefix(5))")
    }
  }

  private func pick() -> Move {
    if isHalted, generator.below(4) == 0 { return .resume }
    var dice = generator.below(Move.allCases.reduce(0) { $0 + $1.weight })
    return Move.allCases.first { move in
      dice -= move.weight
      return dice < 0
    } ?? .claim
  }

  func tick(seconds: Int64) throws {
    now += seconds * 1_000_000
    try engineConnection.set(clock: now)
    try client.set(clock: now)
  }

  private func make(_ move: Move) throws {
    switch move {
    case .submit: try submit()
    case .vote: try vote(isSure: false)
    case .voteOver: try vote(isSure: true)
    case .approve: try approve()
    case .reject: try reject()
    case .claim: try claim()
    case .drain: try drain()
    case .succeed, .fail: try complete(succeeds: move == .succeed)
    case .renew: try renew()
    case .unlease: try unlease()
    case .recover: try recover()
    case .retry: try retry()
    case .policy: try setPolicy()
    case .resume: try setLoop(halted: false)
    case .jump: try tick(seconds: generator.pick([10, 70, 301, 301, 301, 950, 3700, 40_000]))
    case .check: try check()
    case .settle: try settle()
    }
  }

  func compare() throws {
    let (a, b) = (try left.picture(), try right.picture())
    guard a != b else { return }
    let only = (Set(a).subtracting(b).sorted(), Set(b).subtracting(a).sorted())
    throw TestFailure(
      "the tables differ\n  engine:    \(only.0.prefix(4).joined(separator: "\n             "))"
        + "\n  functions: \(only.1.prefix(4).joined(separator: "\n             "))")
  }

  func expect(_ a: String, _ b: String, _ what: String) throws {
    guard a != b else { return }
    throw TestFailure("\(what): the engine answers \(a), the function \(b)")
  }

  /// What a command answered, or the code that it was refused with.
  func answer(_ body: () throws -> String) throws -> String {
    do { return try body() } catch let error as OpsError {
      return error.code.rawValue
    } catch let error as PostgresError {
      guard let code = error.message.firstRange(of: "OPS_") else { throw error }
      return String(error.message[code.lowerBound...].prefix(7))
    }
  }
}
