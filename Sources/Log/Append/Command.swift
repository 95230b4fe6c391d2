public import Crypto
public import Ledger
public import Postgres

/// What a command's events name: its id, and who asked.
public struct CommandKey: Sendable {
  public var id: StreamID
  public var actor: String

  public init(id: StreamID, actor: String) {
    self.id = id
    self.actor = actor
  }
}

/// A key that came from outside: who asks again under it gets the first answer.
public struct IdempotencyKey: Sendable {
  /// As it was given.
  public let key: StreamID
  /// What the request's events name.
  public let command: CommandKey
  /// SHA-256 of the request: the same key with another request is refused.
  public let digest: Digest

  public init(_ key: StreamID, actor: String, request: Digest) {
    self.key = key
    command = CommandKey(id: .outsideKey(key), actor: actor)
    digest = request
  }
}

/// What a command came to.
public struct Committed<Answer> {
  /// Nil where there was nothing to record.
  public let entry: Int64?
  public let at: Instant
  /// What was decided in the transaction that was recorded.
  public let answer: Answer
}

extension Committed: Sendable where Answer: Sendable {}

/// One command: what it reads under locks, what it decides by that, and what it answers.
///
/// ```swift
/// var reads = Reads()
/// let missions = reads.rows(of: Mission.self, lockMission, named)
/// let command = Command(reads) { (found, draft) throws(OpsError) -> Int in
///   for mission in try found[missions] { try draft.load(mission, as: mission.id) }
///   …
///   return draft.events.count
/// }
/// let answer = try session.perform(key, command).answer
/// ```
public struct Command<Answer> {
  /// Goes first, without an answer to the decision: what refuses the whole transaction.
  public var fence: (Statement, Parameters)?
  /// Reads and locks; the last row lock is taken by the last of them.
  public var reads: Reads
  public let allocation: Allocation<Answer>
  /// Decides over what was found. Throws to record nothing.
  public var decide: (Found, inout Draft) throws(OpsError) -> Answer
  /// What it does where another transaction holds a lock that it needs.
  public var lockWait = LockWait.patient
  /// In the same transaction, after events and rows are written.
  public var afterwards: [(Statement, Parameters)] = []

  public init(
    _ reads: Reads, allocation: Allocation<Answer> = .always,
    decide: @escaping (Found, inout Draft) throws(OpsError) -> Answer
  ) {
    self.reads = reads
    self.allocation = allocation
    self.decide = decide
  }
}

extension Command {
  /// The first round trip: the statements that begin the transaction, the reads, the draw.
  var reading: [(Statement, Parameters)] {
    [(.begin, Parameters())] + (lockWait == .brief ? [LockWait.briefly] : [])
      + (fence.map { [$0] } ?? []) + reads.statements + [allocation.statement]
  }

  /// The reads' answers stand right before the draw's, which is the last.
  func found(_ answers: [Rows]) -> Found {
    Found(answers: answers, first: answers.count - 1 - reads.statements.count)
  }
}

/// How an entry's number and clock are drawn, after the locks.
public enum Allocation<Answer> {
  case always
  /// By a statement that gives no row where there is nothing to do; then that is the answer.
  case onlyIf(Statement, Parameters, otherwise: Answer)

  /// The answer where there is nothing to do.
  var idle: Answer? {
    if case .onlyIf(_, _, let otherwise) = self { otherwise } else { nil }
  }

  var statement: (Statement, Parameters) {
    switch self {
    case .always: (.alwaysAllocate, Parameters())
    case .onlyIf(let statement, let parameters, _): (statement, parameters)
    }
  }
}

/// How long a command waits for a lock that another transaction holds.
public enum LockWait: Sendable {
  /// For as long as `lock_timeout` says, and it is tried again.
  case patient
  /// For as long as `lock_timeout` says.
  case once
  /// Half a second: a lock that somebody holds on one row delays the others no longer.
  case brief

  /// First in a transaction that waits so.
  public static let briefly = (Statement("SET LOCAL lock_timeout = '500ms'"), Parameters())
}

extension Statement {
  package static let alwaysAllocate = Statement(
    "SELECT entry, recorded_at FROM ledger.allocate_entry()")
}

// MARK: - Reads

/// What a command reads: statements, each with a token that gives its answer.
public struct Reads {
  fileprivate var statements: [(Statement, Parameters)] = []

  public init() {}

  /// A read whose answer is taken as `value` has it.
  public mutating func add<Value>(
    _ statement: Statement, _ parameters: Parameters = Parameters(),
    as value: @escaping (Rows) throws(OpsError) -> Value
  ) -> Read<Value> {
    statements.append((statement, parameters))
    return Read(index: statements.count - 1, value: value)
  }

  public mutating func add(
    _ statement: Statement, _ parameters: Parameters = Parameters()
  ) -> Read<Rows> {
    add(statement, parameters) { $0 }
  }

  /// A read of projections, by their `select` list.
  public mutating func rows<R: Row>(
    of rowType: R.Type, _ statement: Statement, _ parameters: Parameters = Parameters()
  ) -> Read<[R]> {
    add(statement, parameters) { (rows) throws(OpsError) in try rows.rows(of: R.self) }
  }
}

/// A read's token.
public struct Read<Value> {
  fileprivate let index: Int
  fileprivate let value: (Rows) throws(OpsError) -> Value
}

/// What a command's reads found.
public struct Found {
  fileprivate let answers: [Rows]
  /// The position of the first read's answer.
  fileprivate let first: Int

  public subscript<Value>(_ read: Read<Value>) -> Value {
    get throws(OpsError) { try read.value(answers[first + read.index]) }
  }
}
