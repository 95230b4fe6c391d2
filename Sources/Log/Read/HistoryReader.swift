public import Ledger
public import Postgres

/// Reads history in one moment of the database, in which no partition of the log can leave.
package struct HistoryReader {
  private let connection: Connection
  /// What of the log has left the database, if anything.
  let archivedPart: ArchivedPart?

  /// Runs `body` in a transaction of its own; its first questions travel with the transaction's
  /// beginning.
  package static func read<R>(
    _ session: Session, first: [(Statement, Parameters)],
    _ body: ([Rows], HistoryReader) throws(OpsError) -> R
  ) throws(OpsError) -> R {
    let connection = try session.connection()
    defer { try? connection.rollbackIfOpen() }
    let answers = try onDatabase { () throws(PostgresError) in
      try connection.pipeline(
        [
          (.beginSnapshot, Parameters()), (lock, Parameters()),
          (ArchivedPart.question, Parameters()),
        ]
          + first)
    }
    let reader = HistoryReader(
      connection: connection, archivedPart: try ArchivedPart(session.target, answers[2]))
    return try body(Array(answers.dropFirst(3)), reader)
  }

  /// Before the snapshot: a partition that is dropped between the two would read as empty.
  private static let lock = Statement("LOCK TABLE ledger.events IN ACCESS SHARE MODE")

  func ask(_ questions: [(Statement, Parameters)]) throws(OpsError) -> [Rows] {
    try onDatabase { () throws(PostgresError) in try connection.pipeline(questions) }
  }

  /// The events of what has left the database, in the order of the log.
  func archived(_ wanted: ArchivedQuery) throws(OpsError) -> [LoggedEvent] {
    var events: [LoggedEvent] = []
    var wanted = wanted
    guard let archivedPart, let range = archivedPart.part(of: wanted.entries) else { return events }
    wanted.entries = range
    try archivedPart.log().events(wanted) { (event) throws(OpsError) in
      events.append(LoggedEvent(event))
      return true
    }
    return events
  }

  /// The events of these streams that have left the database: of those whose first one was not met in it.
  func archived(of streams: Set<StreamID>, hot: [LoggedEvent]) throws(OpsError) -> [LoggedEvent] {
    let whole = Set(hot.lazy.filter { $0.version == 1 }.map(\.stream))
    let wanted = streams.subtracting(whole)
    return wanted.isEmpty ? [] : try archived(ArchivedQuery(0...Int64.max, .these(wanted)))
  }

  /// The last event of what has left the database, of entries up to one, recorded up to a time.
  package func lastArchivedEvent(upTo entry: Int64, at time: Instant? = nil) throws(OpsError)
    -> LoggedEvent?
  {
    guard let archivedPart, let range = archivedPart.part(of: 0...max(0, entry)) else { return nil }
    var found: LoggedEvent?
    try archivedPart.log().eventsBackwards(ArchivedQuery(range, upTo: time)) {
      (event) throws(OpsError) in
      found = event
      return false
    }
    return found
  }
}

extension Session {
  static let clock = Statement("SELECT ledger.now()")

  /// The ledger's clock.
  public func now() throws(OpsError) -> Instant { try query(Self.clock).clock() }
}

extension Rows {
  package func events() throws(OpsError) -> [LoggedEvent] {
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
