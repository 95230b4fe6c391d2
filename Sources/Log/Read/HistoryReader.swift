public import Ledger
package import Postgres

/// Reads history in one snapshot of the database, during which no partition of the log can be archived.
package struct HistoryReader {
  private let connection: Connection
  /// The archived part of the log; nil if there is none.
  let archivedPart: ArchivedPart?

  /// Runs `body` in a transaction of its own. The statements of `first` are sent together with BEGIN.
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

  /// Runs before the snapshot is taken: a partition that is dropped in between would read as empty.
  private static let lock = Statement("LOCK TABLE ledger.events IN ACCESS SHARE MODE")

  func ask(_ questions: [(Statement, Parameters)]) throws(OpsError) -> [Rows] {
    try onDatabase { () throws(PostgresError) in try connection.pipeline(questions) }
  }

  /// The archived ones of the wanted events, in the order of the log.
  func archived(_ wanted: ArchivedQuery) throws(OpsError) -> [LoggedEvent] {
    var events: [LoggedEvent] = []
    try archivedPart?.events(wanted) { events.append(LoggedEvent($0)) }
    return events
  }

  /// The archived events of these streams. Nothing of a stream is archived if `hot` has its first event.
  func archived(of streams: Set<StreamID>, hot: [LoggedEvent]) throws(OpsError) -> [LoggedEvent] {
    let whole = Set(hot.lazy.filter { $0.version == 1 }.map(\.stream))
    let wanted = streams.subtracting(whole)
    return wanted.isEmpty ? [] : try archived(ArchivedQuery(0...Int64.max, .these(wanted)))
  }

  /// The last archived event up to an entry, recorded up to a time.
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

  public func now() throws(OpsError) -> Instant { try query(Self.clock).clock() }
}

extension Rows {
  package func events() throws(OpsError) -> [LoggedEvent] {
    try map { (row) throws(PostgresError) in try LoggedEvent(self, row) }
  }

  /// The answer to ``Session/clock``.
  func clock() throws(OpsError) -> Instant {
    try onDatabase { () throws(PostgresError) in Instant(micros: try timestamptz(0, 0)) }
  }
}
