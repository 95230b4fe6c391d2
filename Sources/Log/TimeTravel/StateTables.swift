import Ledger
import Postgres

/// Tables named like the eight, that hold them as of a moment: made in one transaction of one session, by
/// COPY, slice by slice, so that memory never holds them.
///
/// The temporary ones are never committed. Whatever ends the transaction (an error, a cut connection, the
/// end of the process) takes them along, also behind a pooler that hands its connections on.
final class StateTables {
  enum Place {
    /// Tables and views that only this session sees, and finds before the live ones.
    case temporary
    /// Plain tables in a schema of this name, which has been made sure of.
    case schema(String)

    var isTemporary: Bool {
      if case .temporary = self { true } else { false }
    }
  }

  let connection: Connection
  private let place: Place
  private let target: Session.Target
  /// The session that builds; the transaction ends with it.
  private let session: Session
  /// Holds a moment of the log that the readers share.
  private let snapshot: SharedSnapshot
  private let estimated: (rows: Int, events: Int)
  /// Entries that have left the database end with this one.
  private let coldLast: Int64
  /// The entry as of which the tables are; nil before the first ``move(to:_:)``.
  private(set) var entry: Int64?
  /// Events that were folded.
  private(set) var eventCount = 0

  /// Begins the transaction and makes the tables, empty.
  ///
  /// - Parameter prepare: What has to be done first in the transaction.
  init(
    _ target: Session.Target, _ place: Place,
    prepare: (Connection) throws(OpsError) -> Void = { (_) throws(OpsError) in }
  ) throws(OpsError) {
    self.target = target
    self.place = place
    let reading = try Session(target)
    estimated = try reading.estimate()
    // Nothing here may touch a live table in the transaction that a query runs in: ``StateQuery`` tells by
    // the locks whether it reads one.
    let shapes = try StateShapes(reading)
    snapshot = try SharedSnapshot(reading)
    coldLast = try snapshot.reader().coldLast
    session = try Session(target)
    let connection = try session.connection()
    self.connection = connection
    try onDatabase { () throws(PostgresError) in try connection.execute(Self.begin) }
    try prepare(connection)
    do throws(PostgresError) {
      try connection.execute(shapes.create(in: place))
    } catch {
      throw Self.refusal(error)
    }
  }

  /// A copy of a session's settings for psql's spelling, and for a query whose caller went away.
  private static let begin = """
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL search_path = pg_temp, public;
    SET LOCAL IntervalStyle TO DEFAULT;
    SET LOCAL client_connection_check_interval = '2s';
    SET LOCAL idle_in_transaction_session_timeout = 0
    """

  private static func refusal(_ error: PostgresError) -> OpsError {
    switch error.sqlstate {
    case "25006":
      OpsError(
        .notAllowed, "a state is built in tables, and this database takes none: \(error.message)",
        hint: "ask the primary; state at without --query works on a replica too")
    case "42501":
      OpsError(
        .notAllowed, "a state is built in tables, which the login may not make: \(error.message)",
        hint: "GRANT TEMPORARY ON DATABASE … TO the login")
    default: OpsError(database: error)
    }
  }

  /// Ends the transaction; temporary tables, and others that were not committed, are gone.
  func end() {
    try? connection.rollbackIfOpen()
    session.drop()
    snapshot.end()
  }

  /// Makes the tables what they were at a moment: all rows the first time, later those of the streams that
  /// have events between the two moments.
  func move(to next: Int64, _ progress: ReplayProgress) throws(OpsError) {
    let slices: [Slice]
    if let entry, entry != next, min(entry, next) < coldLast {
      // Which streams changed is not known here: all of them are made again.
      try forgetAll()
      slices = Slice.all(rows: estimated.rows)
    } else if let entry, entry != next {
      let range = (min(entry, next) + 1)...max(entry, next)
      let streams = try forget(in: range)
      slices = Self.count(of: streams).map { .changed(in: range, remainder: $0, of: $1) }
    } else if entry == nil {
      progress.expect(estimated.events)
      slices = Slice.all(rows: estimated.rows)
    } else {
      return
    }
    try fill(slices, upTo: next, progress)
    try onDatabase { () throws(PostgresError) in
      if place.isTemporary {
        try connection.execute("UPDATE pg_temp.opsledger_moment SET entry = \(next)")
      }
      try connection.execute(
        "ANALYZE " + StateShapes.tables.map(qualified).joined(separator: ", "))
    }
    entry = next
  }

  private static func count(of streams: Int) -> [(Int, Int)] {
    // Two readers gain nothing where a slice takes less than it takes to begin one.
    let count = Slice.all(rows: streams, countMin: streams < 1000 ? 1 : Slice.workers).count
    return (0..<count).map { ($0, count) }
  }

  private func fill(
    _ slices: [Slice], upTo last: Int64, _ progress: ReplayProgress
  ) throws(OpsError) {
    guard last > 0 else { return }
    let prefix = prefix
    let stream = FoldStream(
      slices, entries: 0...last, target, snapshot: snapshot.id, workers: 1, progress,
      make: { (fold, _) throws(OpsError) in
        try fold.requireSound()
        return try Fill(fold, into: prefix)
      })
    defer { stream.stop() }
    while let fill = try stream.next() {
      eventCount += fill.fold.eventCount
      for filled in fill.tables { _ = try filled.write(on: connection) }
    }
  }

  /// The entries among these that have left the database.
  func coldEntries(_ range: ClosedRange<Int64>) throws(OpsError) -> [Int64] {
    var entries: [Int64] = []
    try snapshot.reader().cold(range, .all) { (event) throws(OpsError) in
      if entries.last != event.entry { entries.append(event.entry) }
    }
    return entries
  }

  private func forgetAll() throws(OpsError) {
    try onDatabase { () throws(PostgresError) in
      try connection.execute(
        "TRUNCATE " + StateShapes.tables.map(qualified).joined(separator: ", "))
    }
  }

  /// Removes the rows of the streams with events among these entries.
  ///
  /// - Returns: How many streams those are.
  private func forget(in range: ClosedRange<Int64>) throws(OpsError) -> Int {
    try onDatabase { () throws(PostgresError) in
      try connection.execute(
        """
        DROP TABLE IF EXISTS pg_temp.opsledger_changed;
        CREATE TEMPORARY TABLE opsledger_changed AS
        SELECT DISTINCT e.stream FROM ledger.events AS e
        WHERE e.entry BETWEEN \(range.lowerBound) AND \(range.upperBound);
        ANALYZE pg_temp.opsledger_changed
        """)
      for (table, stream) in StateShapes.streams {
        try connection.execute(
          """
          DELETE FROM \(qualified(table)) WHERE \(stream) IN
            (SELECT c.stream FROM pg_temp.opsledger_changed AS c)
          """)
      }
      return Int(
        try connection.query(Statement("SELECT count(*) FROM pg_temp.opsledger_changed"))
          .int8(0, 0))
    }
  }

  private var prefix: String {
    switch place {
    case .temporary: "pg_temp."
    case .schema(let name): quoteIdentifier(name) + "."
    }
  }

  private func qualified(_ table: String) -> String { prefix + table }
}

/// What the tables and views look like, read from the catalogue.
struct StateShapes {
  /// The eight.
  static let tables = NounName.allCases.filter(\.isOfTheEight).map { TableText.of($0).table }
  /// The expression that gives the stream of a row of each.
  static let streams = StreamExpressions.all

  private var columns: [String: String] = [:]
  private var views: [(name: String, text: String)] = []

  init(_ session: Session) throws(OpsError) {
    for noun in NounName.allCases where noun.isOfTheEight {
      let text = TableText.of(noun)
      var parameters = Parameters()
      parameters.text("public." + text.table)
      parameters.texts(text.columns.map(\.name))
      let rows = try session.query(Self.columnTypes, parameters)
      columns[text.table] = try onDatabase { () throws(PostgresError) in try rows.text(0, 0) }
    }
    let rows = try session.query(Self.viewTexts)
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        views.append((try rows.text(row, 0), try rows.text(row, 1)))
      }
    }
  }

  /// The ledger's columns only: those of operators are in no event.
  private static let columnTypes = Statement(
    """
    SELECT coalesce(string_agg(
      format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum), '')
    FROM pg_attribute AS a WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0
      AND NOT a.attisdropped AND a.attname = ANY ($2::text[])
    """)

  /// The views over the eight, over the temporary tables; those from the log stop at the moment.
  private static let viewTexts = Statement(
    """
    SELECT v.name, replace(replace(pg_get_viewdef(to_regclass(v.live)),
      'ledger.policy_changes', 'pg_temp.opsledger_policy_changes'), 'ledger.events_at_hand',
      '(SELECT e.* FROM ledger.events_at_hand AS e WHERE e.entry <= '
        '(SELECT m.entry FROM pg_temp.opsledger_moment AS m))')
    FROM (VALUES (1, 'opsledger_policy_changes', 'ledger.policy_changes'),
      (2, 'ops_policy_history', 'public.ops_policy_history'),
      (3, 'ops_policy_audit', 'public.ops_policy_audit'),
      (4, 'ops_proposal_votes', 'public.ops_proposal_votes'),
      (5, 'ops_step_dead_letters', 'public.ops_step_dead_letters'),
      (6, 'ops_radar', 'public.ops_radar')) AS v (place, name, live)
    WHERE to_regclass(v.live) IS NOT NULL ORDER BY v.place
    """)

  func create(in place: StateTables.Place) -> String {
    var sql: [String] = []
    for table in Self.tables {
      let columns = columns[table] ?? ""
      switch place {
      case .temporary: sql.append("CREATE TEMPORARY TABLE \(table) (\(columns))")
      case .schema(let name):
        sql.append("CREATE TABLE \(quoteIdentifier(name)).\(table) (\(columns))")
      }
    }
    if place.isTemporary {
      sql.append("CREATE TEMPORARY TABLE opsledger_moment AS SELECT 0::bigint AS entry")
      for view in views { sql.append("CREATE TEMPORARY VIEW \(view.name) AS \(view.text)") }
    }
    return sql.joined(separator: ";\n")
  }
}

/// The SQL expression that gives each table's streams.
private struct StreamExpressions: NounVisitor {
  static let all: [(table: String, stream: String)] = {
    var visitor = StreamExpressions()
    try? visitor.visitParentsFirst()
    return visitor.found
  }()

  private var found: [(table: String, stream: String)] = []

  mutating func visit<N: Noun>(
    _ noun: N.Type, _ table: WritableKeyPath<Fold, FoldTable<N>>
  ) throws(OpsError) {
    if N.name.isOfTheEight { found.append((N.table, N.streamSQL)) }
  }
}
