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
    case recover, vote, retry, bulk, halt, resume, pause, unpause, rollback

    /// How many of a hundred.
    var weight: Int {
      switch self {
      case .claim: 16
      case .submit: 11
      case .emit, .fail: 9
      case .succeed: 8
      case .heartbeat: 7
      case .approve, .vote, .retry: 5
      case .radar, .renew, .jump: 4
      case .reject, .policy: 3
      case .recover: 2
      case .bulk, .halt, .pause, .rollback, .unpause: 1
      // What stops does not stay so for long: see `Player.pick`.
      case .resume: 0
      }
    }
  }

  let engine: Engine
  let proxy: CutProxy
  let world: World
  let clock: Connection
  /// Nil where others play at the same time: what a state was cannot be told then.
  let pairs: Pairs?
  let name: String
  var generator: Generator
  var dies = false

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

  /// Makes one move. One of sixteen is cut, of heartbeats, which are several commands, more and further
  /// on; of those half are made by a caller who dies with it.
  func play() throws {
    let move = pick()
    let isLong = move == .heartbeat
    let isCut = generator.below(isLong ? 5 : 16) == 0
    dies = isCut && generator.flip()
    engine.session.attemptsMax = dies ? 1 : 12
    if isCut {
      proxy.arm(
        generator.below(3) == 0
          ? .answer(batches: 1 + generator.below(isLong ? 8 : 2))
          : .afterStatements(generator.below(isLong ? 40 : 15)))
    }
    defer { if isCut { proxy.disarm() } }
    do {
      try make(move)
    } catch let error as OpsError {
      // Who dies gets no answer, and neither does who races against others without a second try.
      let isNoAnswer = error.code == .databaseUnreachable || error.code == .conflict
      // These ask for more than commands, and give up where they are cut there.
      let mayGiveUp = dies || isCut && (move == .heartbeat || move == .rollback)
      guard mayGiveUp, isNoAnswer else { throw TestFailure("\(move): \(error)") }
    }
  }

  private func pick() -> Move {
    if world.isHalting, generator.below(6) == 0 { return .resume }
    if world.isPausing, generator.below(10) == 0 { return .unpause }
    var dice = generator.below(100)
    return Move.allCases.first { move in
      dice -= move.weight
      return dice < 0
    } ?? .claim
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
    case .retry: try retry()
    case .bulk: try retryDead()
    case .halt: try setLoop(.halted)
    case .resume: try setLoop(.running)
    case .pause: try pauseExecutor(true)
    case .unpause: try pauseExecutor(false)
    case .rollback: try rollBack()
    case .recover:
      try countSweep("recover")
      _ = try engine.recoverLeases()
    }
  }

  // MARK: Counting

  func state(_ statement: Statement, _ parameters: Parameters) throws -> [String] {
    guard pairs != nil else { return [] }
    let rows = try clock.query(statement, parameters)
    guard rows.count > 0 else { return [] }
    return try (0..<rows.columnCount).map { try rows.text(0, $0) }
  }

  func countTarget(_ step: StreamID, _ command: String) throws {
    let states = try state(States.step, .id(step))
    guard states.count == 4 else { return }
    for (rowType, state) in zip(["step", "mission", "loop", "executor"], states) {
      pairs?.count(rowType, state, command)
    }
  }

  func countSweep(_ command: String) throws {
    guard let pairs else { return }
    let rows = try clock.query(States.all)
    for row in 0..<rows.count {
      let rowType = try rows.text(row, 0)
      guard Pairs.commands[rowType]?.contains(command) == true else { continue }
      pairs.count(rowType, try rows.text(row, 1), command)
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
