import Ledger
import Log
import Postgres

/// Tables named like the eight, with their rows as of a moment. One session makes them in one transaction, by COPY, slice
/// by slice: memory never holds all rows.
///
/// Temporary tables are never committed. An error, a cut connection or the end of the process ends the transaction and
/// removes them, also behind a pooler.
final class StateTables {
  enum Place {
    /// Tables and views that only this session sees. Its queries find them before the live ones.
    case temporary
    /// Plain tables in this schema, which must exist.
    case schema(String)

    var isTemporary: Bool {
      if case .temporary = self { true } else { false }
    }
  }

  let connection: Connection
  private let place: Place
  private let target: Session.Target
  private let reading: Session
  private let shapes: StateShapes
  /// The tables that exist: all eight, or only those that a query names.
  private(set) var tablesMade: [String]
  var areAllMade: Bool { tablesMade.count == StateShapes.tables.count }
  /// The session with the transaction that makes the tables.
  private let session: Session
  private let moment: SharedSnapshot
  private let snapshots: (any StateSnapshots)?
  /// The columns to fill. Other tables stay empty, and other columns NULL.
  private var columns = StateColumns.all(of: Set(RowType.allCases.filter(\.isOfTheEight)))
  private var rowTypes: Set<RowType> { Set(columns.keys) }
  private let estimated: (rows: Int, events: Int)
  /// The last archived entry.
  private let archivedLast: Int64
  /// The entry whose state the tables have; nil before the first ``move(to:_:)``.
  private var entry: Int64?

  /// Begins the transaction and makes the tables, empty.
  ///
  /// - Parameters:
  ///   - snapshots: Snapshots to start from. A damaged one is an error here; see ``Swift/Optional/fallingBack(_:)``.
  ///   - reading: A session to read with, until the end; nil for a new one.
  ///   - query: Only the tables that this text seems to name are made; see ``makeAll()``.
  ///   - prepare: The first work of the transaction.
  init(
    _ target: Session.Target, _ place: Place, from snapshots: (any StateSnapshots)? = nil,
    on reading: Session? = nil, for query: String? = nil,
    prepare: (Connection) throws(OpsError) -> Void = { (_) throws(OpsError) in }
  ) throws(OpsError) {
    self.target = target
    self.place = place
    self.snapshots = snapshots
    let reading = if let reading { reading } else { try Session(target) }
    self.reading = reading
    estimated = try reading.estimate()
    // The query's transaction must not touch a live table here: its locks show ``StateQuery`` which tables the query
    // reads.
    shapes = try StateShapes(reading)
    tablesMade = query.map(StateShapes.tables(namedIn:)) ?? StateShapes.tables
    moment = try SharedSnapshot(reading)
    archivedLast = try moment.reader().archivedLast
    session = try Session(target)
    let connection = try session.connection()
    self.connection = connection
    try onDatabase { () throws(PostgresError) in
      try connection.begin(.readCommitted, Self.settings)
    }
    try prepare(connection)
    do throws(PostgresError) {
      try connection.execute(shapes.create(tablesMade, in: place))
    } catch {
      throw Self.refusal(error)
    }
  }

  /// Makes the missing tables and views.
  func makeAll() throws(OpsError) {
    guard !areAllMade else { return }
    let missing = StateShapes.tables.filter { !tablesMade.contains($0) }
    try onDatabase { () throws(PostgresError) in
      try connection.execute(
        "DROP TABLE pg_temp.opsledger_moment; " + shapes.create(missing, in: place, isAll: true))
    }
    tablesMade = StateShapes.tables
  }

  /// Values are spelt as psql spells them, and the server ends a query whose client is gone.
  private static let settings = """
    SET LOCAL IntervalStyle TO DEFAULT;
    SET LOCAL client_connection_check_interval = '2s';
    SET LOCAL idle_in_transaction_session_timeout = 0
    """

  private static func refusal(_ error: PostgresError) -> OpsError {
    switch error.sqlstate {
    case "25006":
      OpsError(
        .notAllowed,
        "the tables of the state cannot be made in a read-only database: \(error.message)",
        hint: "ask the primary; `opsledger state at` without --query works on a replica too")
    case "42501":
      OpsError(
        .notAllowed, "the login may not make the tables of the state: \(error.message)",
        hint: "GRANT TEMPORARY ON DATABASE … TO the login")
    default: OpsError(database: error)
    }
  }

  /// Ends the transaction. Tables that were not committed disappear.
  func end() {
    try? connection.rollbackIfOpen()
    session.drop()
    moment.end()
  }

  /// Restricts the columns to fill. Must be called before the first ``move(to:_:)``. A second move needs the keys.
  func fillOnly(_ columns: StateColumns) {
    self.columns = columns.filter { $0.key.isOfTheEight }
  }

  /// Gives the tables their state at a moment: all rows the first time, later the rows of the streams with events between
  /// the two moments.
  func move(to next: Int64, _ progress: ReplayProgress) throws(OpsError) {
    if entry == next { return }
    if next > 0, !rowTypes.isEmpty {
      if let entry, min(entry, next) >= archivedLast {
        try change(from: entry, to: next, progress)
      } else {
        // The database does not know which streams changed, so all rows are made again.
        if entry != nil {
          try onDatabase { () throws(PostgresError) in
            try connection.execute("TRUNCATE \(filledTables)")
          }
        }
        try make(at: next, progress)
      }
    }
    try onDatabase { () throws(PostgresError) in
      if place.isTemporary {
        try connection.execute("UPDATE pg_temp.opsledger_moment SET entry = \(next)")
      }
      if !rowTypes.isEmpty {
        // A tenth of the usual sample, which would take longer than most queries.
        try connection.execute(
          "SET LOCAL default_statistics_target = 10; ANALYZE \(filledTables); "
            + "SET LOCAL default_statistics_target TO DEFAULT")
      }
    }
    entry = next
  }

  private var filledTables: String {
    rowTypes.map { prefix + TableText.of($0).table }.joined(separator: ", ")
  }

  private func make(at next: Int64, _ progress: ReplayProgress) throws(OpsError) {
    if let snapshot = try snapshots?.newest(upTo: next, on: reading),
      let later = try FoldOn(snapshot, upTo: next, of: rowTypes, on: try moment.reader())
    {
      let kept = KeptCopy(prefix, columns, connection)
      return try write(Fill(later.run(keeping: kept, progress), into: prefix, columns))
    }
    progress.expect(estimated.events)
    let slices = try moment.reader().slices(Slice.count(rows: estimated.rows), upTo: next)
    try fill(slices, upTo: next, progress)
  }

  /// Removes the rows of the streams with events between the two moments, and makes them again.
  private func change(
    from entry: Int64, to next: Int64, _ progress: ReplayProgress
  ) throws(OpsError) {
    let range = (min(entry, next) + 1)...max(entry, next)
    let count = try forget(in: range)
    if count <= Slice.rowsMax, let snapshot = try snapshots?.newest(upTo: next, on: reading) {
      let slice = Slice.changed(in: range, remainder: 0, of: 1).only(rowTypes)
      let log = try moment.reader()
      var fold = Fold()
      try fold.seed(from: snapshot, try slice.streams(in: range, on: log), of: rowTypes)
      if snapshot.entry < next {
        try slice.read(into: &fold, on: log, entries: (snapshot.entry + 1)...next, progress)
      }
      fold.finish()
      try fold.requireSound()
      return try write(Fill(fold, into: prefix, columns))
    }
    // An index finds few streams, without a scan of the log.
    if count < 1000 {
      let streams = try onDatabase { () throws(PostgresError) in
        try connection.query(Statement("SELECT c.stream FROM pg_temp.opsledger_changed AS c"))
      }
      return try fill([.streams(streams.ids())], upTo: next, progress)
    }
    let slices = Slice.count(rows: count)
    try fill(
      (0..<slices).map { .changed(in: range, remainder: $0, of: slices) }, upTo: next, progress)
  }

  private func fill(
    _ slices: [Slice], upTo last: Int64, _ progress: ReplayProgress
  ) throws(OpsError) {
    let (prefix, columns) = (prefix, columns)
    let stream = FoldStream(
      slices.map { $0.only(rowTypes) }, entries: 0...last, target, snapshot: moment.id, workers: 1,
      lent: try moment.lent(), progress,
      make: { (fold, _) throws(OpsError) in
        try fold.requireSound()
        return try Fill(fold, into: prefix, columns)
      })
    defer { stream.stop() }
    while let fill = try stream.next() { try write(fill) }
  }

  private func write(_ fill: Fill) throws(OpsError) {
    for filled in fill.tables { _ = try filled.write(on: connection) }
  }

  /// The archived ones of these entries.
  func archivedEntries(_ range: ClosedRange<Int64>) throws(OpsError) -> [Int64] {
    var entries: [Int64] = []
    try moment.reader().archived(range, .all) { (event) throws(OpsError) in
      if entries.last != event.entry { entries.append(event.entry) }
    }
    return entries
  }

  /// Removes the rows of the streams with events among these entries. Lists the streams in table `opsledger_changed`.
  ///
  /// - Returns: The number of streams.
  private func forget(in range: ClosedRange<Int64>) throws(OpsError) -> Int {
    try onDatabase { () throws(PostgresError) in
      try connection.execute(
        """
        DROP TABLE IF EXISTS pg_temp.opsledger_changed;
        CREATE TEMPORARY TABLE opsledger_changed AS
        SELECT DISTINCT e.stream FROM ledger.events AS e
        WHERE \(Slice.all.only(rowTypes).condition(range));
        ANALYZE pg_temp.opsledger_changed
        """)
      for rowType in rowTypes {
        try connection.execute(
          """
          DELETE FROM \(prefix)\(TableText.of(rowType).table) WHERE \(rowType.type.streamSQL) IN
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
}

/// Copies lines of a snapshot into the tables: whole lines, or only the columns to fill.
private final class KeptCopy: KeptRows {
  private let prefix: String
  private let columns: StateColumns
  private let connection: Connection
  private var writer: CopyWriter?
  /// The positions of the columns to fill, in order; nil for all.
  private var places: [Int]?
  private var cut: [UInt8] = []

  init(_ prefix: String, _ columns: StateColumns, _ connection: Connection) {
    self.prefix = prefix
    self.columns = columns
    self.connection = connection
  }

  func begin<R: Row>(_ rowType: R.Type) throws(OpsError) {
    let filled = columns[R.name] ?? []
    places = filled.count == R.columns.count ? nil : filled
    let names = filled.map { R.columns[$0].name }.joined(separator: ", ")
    writer = try onDatabase { () throws(PostgresError) in
      try connection.copyIn("COPY \(prefix)\(R.table) (\(names)) FROM STDIN")
    }
  }

  func take(_ line: UnsafeRawBufferPointer) throws(OpsError) {
    guard let places else {
      return try onDatabase { () throws(PostgresError) in try writer?.raw(line) }
    }
    cut.removeAll(keepingCapacity: true)
    var (fields, next) = (RowFields(line), 0)
    for place in places {
      // The server refuses a line with too few columns.
      guard let field = fields.skip(to: place - next) else { break }
      if next > 0 { cut.append(9) }
      cut.append(contentsOf: field.bytes)
      next = place + 1
    }
    cut.append(10)
    let written = cut.withUnsafeBytes { bytes in
      Result { () throws(PostgresError) in try writer?.raw(bytes) }
    }
    try onDatabase { () throws(PostgresError) in try written.get() }
  }

  func end() throws(OpsError) {
    try onDatabase { () throws(PostgresError) in _ = try writer?.finish() }
    writer = nil
  }
}

/// Columns of tables, by their positions in ``Row/columns``, in order; at least one of each table.
typealias StateColumns = [RowType: [Int]]

extension StateColumns {
  static func all(of rowTypes: Set<RowType>) -> StateColumns {
    StateColumns(
      uniqueKeysWithValues: rowTypes.map { ($0, Array(TableText.of($0).columns.indices)) })
  }
}

/// The definitions of the tables and views, from the catalogue.
struct StateShapes {
  static let tables = TableText.eight.map(\.table)
  private static let views = [
    "ops_policy_history", "ops_policy_audit", "ops_proposal_votes", "ops_step_dead_letters",
    "ops_radar",
  ]

  private var columns: [String: String] = [:]
  private var views: [(name: String, text: String)] = []

  init(_ session: Session) throws(OpsError) {
    for text in TableText.eight {
      var parameters = Parameters()
      parameters.text("public." + text.table)
      parameters.texts(text.columns.map(\.name))
      let rows = try session.query(Self.columnTypes, parameters)
      columns[text.table] = try onDatabase { () throws(PostgresError) in try rows.text(0, 0) }
    }
    var parameters = Parameters()
    parameters.text("\\mpublic\\.(\(Self.tables.joined(separator: "|")))\\M")
    let rows = try session.query(Self.viewTexts, parameters)
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        views.append((try rows.text(row, 0), try rows.text(row, 1)))
      }
    }
  }

  /// Only the ledger's columns: the log does not have columns of operators.
  private static let columnTypes = Statement(
    """
    SELECT coalesce(string_agg(
      format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum), '')
    FROM pg_attribute AS a WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0
      AND NOT a.attisdropped AND a.attname = ANY ($2::text[])
    """)

  /// The views over the eight tables, changed to read the temporary tables, and the log up to the moment.
  private static let viewTexts = Statement(
    """
    SELECT v.name, replace(replace(
        regexp_replace(pg_get_viewdef(to_regclass(v.live)), $1::text, 'pg_temp.\\1', 'g'),
      'ledger.policy_changes', 'pg_temp.opsledger_policy_changes'), 'ledger.events_in_database',
      '(SELECT e.* FROM ledger.events_in_database AS e WHERE e.entry <= '
        '(SELECT m.entry FROM pg_temp.opsledger_moment AS m))')
    FROM (VALUES (1, 'opsledger_policy_changes', 'ledger.policy_changes'),
      (2, 'ops_policy_history', 'public.ops_policy_history'),
      (3, 'ops_policy_audit', 'public.ops_policy_audit'),
      (4, 'ops_proposal_votes', 'public.ops_proposal_votes'),
      (5, 'ops_step_dead_letters', 'public.ops_step_dead_letters'),
      (6, 'ops_radar', 'public.ops_radar')) AS v (place, name, live)
    WHERE to_regclass(v.live) IS NOT NULL ORDER BY v.place
    """)

  /// The tables that the text of a query may name; all of them if it names a view.
  static func tables(namedIn query: String) -> [String] {
    let text = query.lowercased()
    if views.contains(where: text.contains) { return tables }
    return tables.filter(text.contains)
  }

  /// - Parameter isAll: Whether all eight tables exist afterwards, so that views can be made.
  func create(_ tables: [String], in place: StateTables.Place, isAll: Bool = false) -> String {
    var sql: [String] = []
    for table in tables {
      let columns = columns[table] ?? ""
      switch place {
      case .temporary: sql.append("CREATE TEMPORARY TABLE \(table) (\(columns))")
      case .schema(let name):
        sql.append("CREATE TABLE \(quoteIdentifier(name)).\(table) (\(columns))")
      }
    }
    if place.isTemporary {
      sql.append("CREATE TEMPORARY TABLE opsledger_moment AS SELECT 0::bigint AS entry")
      guard isAll || tables == Self.tables else { return sql.joined(separator: ";\n") }
      for view in views { sql.append("CREATE TEMPORARY VIEW \(view.name) AS \(view.text)") }
    }
    return sql.joined(separator: ";\n")
  }
}
