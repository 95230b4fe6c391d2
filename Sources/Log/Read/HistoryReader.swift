public import Ledger
public import Postgres

/// Reads history in one moment of the database, in which no partition of the log can leave.
struct HistoryReader {
  private let connection: Connection

  /// Runs `body` in a transaction of its own; its first questions travel with the transaction's
  /// beginning.
  static func read<R>(
    _ session: Session, first: [(Statement, Parameters)],
    _ body: ([Rows], HistoryReader) throws(OpsError) -> R
  ) throws(OpsError) -> R {
    let connection = try session.connection()
    defer { try? connection.rollbackIfOpen() }
    let answers = try onDatabase { () throws(PostgresError) in
      try connection.pipeline(
        [(begin, Parameters()), (lock, Parameters())] + first)
    }
    return try body(Array(answers.dropFirst(2)), HistoryReader(connection: connection))
  }

  private static let begin = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
  /// Before the snapshot: a partition that is dropped between the two would read as empty.
  private static let lock = Statement("LOCK TABLE ledger.events IN ACCESS SHARE MODE")

  func ask(_ questions: [(Statement, Parameters)]) throws(OpsError) -> [Rows] {
    try onDatabase { () throws(PostgresError) in try connection.pipeline(questions) }
  }

  func events(_ question: (Statement, Parameters)) throws(OpsError) -> [LoggedEvent] {
    let rows = try ask([question])[0]
    return try onDatabase { () throws(PostgresError) in try LoggedEvent.all(rows) }
  }
}

extension Session {
  static let clock = Statement("SELECT ledger.now()")

  /// The ledger's clock.
  public func now() throws(OpsError) -> Instant { try query(Self.clock).clock() }
}

extension Rows {
  func events() throws(OpsError) -> [LoggedEvent] {
    try onDatabase { () throws(PostgresError) in try LoggedEvent.all(self) }
  }

  /// What the statement that asks for the ledger's clock gave.
  func clock() throws(OpsError) -> Instant {
    try onDatabase { () throws(PostgresError) in Instant(micros: try timestamptz(0, 0)) }
  }

  /// The ids in one column, nulls left out.
  public func ids(_ column: Int = 0) throws(OpsError) -> [StreamID] {
    try onDatabase { () throws(PostgresError) in
      var ids: [StreamID] = []
      for row in 0..<count {
        if let id = try uuidIfPresent(row, column) { ids.append(StreamID(id)) }
      }
      return ids
    }
  }
}
