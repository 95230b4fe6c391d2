public import Crypto
public import Ledger
public import Postgres

/// What a command's events record of it: its id, and its actor.
public struct CommandKey: Sendable {
  public var id: StreamID
  public var actor: String

  public init(id: StreamID, actor: String) {
    self.id = id
    self.actor = actor
  }
}

/// An idempotency key: a request that is repeated under the same key gets the first answer.
public struct IdempotencyKey: Sendable {
  /// The key as the client gave it.
  public let key: StreamID
  public let command: CommandKey
  /// SHA-256 of the request: another request under the same key is refused.
  public let digest: Digest

  public init(_ key: StreamID, actor: String, request: Digest) {
    self.key = key
    command = CommandKey(id: .outsideKey(key), actor: actor)
    digest = request
  }
}

public struct Committed<Answer> {
  /// Nil if there was nothing to record.
  public let entry: Int64?
  public let at: Instant
  /// The answer of the decision that was recorded.
  public let answer: Answer
}

extension Committed: Sendable where Answer: Sendable {}

/// A command: what it reads under locks, and its decision, which appends events and gives an answer.
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
  /// Runs first, and can refuse the whole transaction. The decision does not see its answer.
  public var fence: (Statement, Parameters)?
  /// Reads and row locks. Nothing after them may take a row lock.
  public var reads: Reads
  public let allocation: Allocation<Answer>
  /// Decides by what the reads found. If it throws, nothing is recorded.
  public var decide: (Found, inout Draft) throws(OpsError) -> Answer
  public var lockWait = LockWait.patient
  /// Statements of the same transaction, after events and rows are written.
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
  /// The first round trip: the statements that begin the transaction, the reads, and the allocation of the entry.
  var reading: [(Statement, Parameters)] {
    [(.begin, Parameters())] + (lockWait == .brief ? [LockWait.briefly] : [])
      + (fence.map { [$0] } ?? []) + reads.statements + [allocation.statement]
  }

  /// The last answer is the allocation's, and those before it are the reads'.
  func found(_ answers: [Rows]) -> Found {
    Found(answers: answers, first: answers.count - 1 - reads.statements.count)
  }
}

/// How a command allocates the entry's number and time, after its locks.
public enum Allocation<Answer> {
  case always
  /// By a statement that gives no row if there is nothing to do. The answer is then `otherwise`.
  case onlyIf(Statement, Parameters, otherwise: Answer)

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
  /// Until `lock_timeout`; then the command is tried again.
  case patient
  /// Until `lock_timeout`; then the command fails.
  case once
  /// Half a second; then the command fails. So one locked row does not delay the others for long.
  case brief

  /// The statement that makes a transaction wait like this; it comes first.
  public static let briefly = (Statement("SET LOCAL lock_timeout = '500ms'"), Parameters())
}

extension Statement {
  package static let alwaysAllocate = Statement(
    "SELECT entry, recorded_at FROM ledger.allocate_entry()")
}

/// The statements by which a command reads. Each has a token that gives access to its answer.
public struct Reads {
  fileprivate var statements: [(Statement, Parameters)] = []

  public init() {}

  /// Adds a read, whose answer `value` decodes.
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

  /// Adds a read of projections, whose statement selects ``Ledger/Row/select(_:)``.
  public mutating func rows<R: Row>(
    of rowType: R.Type, _ statement: Statement, _ parameters: Parameters = Parameters()
  ) -> Read<[R]> {
    add(statement, parameters) { (rows) throws(OpsError) in try rows.rows(of: R.self) }
  }
}

public struct Read<Value> {
  fileprivate let index: Int
  fileprivate let value: (Rows) throws(OpsError) -> Value
}

public struct Found {
  fileprivate let answers: [Rows]
  /// The position of the first read's answer.
  fileprivate let first: Int

  public subscript<Value>(_ read: Read<Value>) -> Value {
    get throws(OpsError) { try read.value(answers[first + read.index]) }
  }
}
