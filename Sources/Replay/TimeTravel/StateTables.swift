import Ledger
import Log
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
  private let reading: Session
  private let shapes: StateShapes
  /// The tables that there are: all eight, unless those are enough that a query names.
  private(set) var tablesMade: [String]
  var areAllMade: Bool { tablesMade.count == StateShapes.tables.count }
  /// The session that builds; the transaction ends with it.
  private let session: Session
  /// Holds a moment of the log that the readers share.
  private let moment: SharedSnapshot
  private let snapshots: (any StateSnapshots)?
  /// What is filled; other tables stay empty, and other columns null.
  private var columns = StateColumns.ofTheEight
  private var rowTypes: Set<RowType> { Set(columns.keys) }
  private let estimated: (rows: Int, events: Int)
  /// Entries that have left the database end with this one.
  private let archivedLast: Int64
  /// The entry as of which the tables are; nil before the first ``move(to:_:)``.
  private(set) var entry: Int64?
  /// Events that were folded.
  private(set) var eventCount = 0

  /// Begins the transaction and makes the tables, empty.
  ///
  /// - Parameters:
  ///   - snapshots: What the rows are taken from where that saves reading the log. One that is damaged ends what
  ///     is done here; see ``Swift/Optional/fallingBack(_:)``.
  ///   - reading: A session that is used until the end, where one is at hand.
  ///   - query: Only the tables are made that it seems to name; see ``makeAll()``.
  ///   - prepare: What has to be done first in the transaction.
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
    // Nothing here may touch a live table in the transaction that a query runs in: ``StateQuery`` tells by
    // the locks whether it reads one.
    shapes = try StateShapes(reading)
    tablesMade = query.map(StateShapes.tables(namedIn:)) ?? StateShapes.tables
    moment = try SharedSnapshot(reading)
    archivedLast = try moment.reader().archivedLast
    session = try Session(target)
    let connection = try session.connection()
    self.connection = connection
    try onDatabase { () throws(PostgresError) in try connection.begin(.readCommitted, Self.settings)
    }
    try prepare(connection)
    do throws(PostgresError) {
      try connection.execute(shapes.create(tablesMade, in: place))
    } catch {
      throw Self.refusal(error)
    }
  }

  /// Makes the tables and views that are not there yet.
  func makeAll() throws(OpsError) {
    guard !areAllMade else { return }
    let missing = StateShapes.tables.filter { !tablesMade.contains($0) }
    try onDatabase { () throws(PostgresError) in
      try connection.execute(
        "DROP TABLE pg_temp.opsledger_moment; " + shapes.create(missing, in: place, isAll: true))
    }
    tablesMade = StateShapes.tables
  }

  /// A copy of a session's settings for psql's spelling, and for a query whose caller went away.
  private static let settings = """
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
    moment.end()
  }

  /// Only these columns of these tables are filled. Before the first ``move(to:_:)``; a second one wants the keys.
  func fillOnly(_ columns: StateColumns) {
    self.columns = columns.filter { $0.key.isOfTheEight }
  }

  /// Makes the tables what they were at a moment: all rows the first time, later those of the streams that
  /// have events between the two moments.
  func move(to next: Int64, _ progress: ReplayProgress) throws(OpsError) {
    if entry == next { return }
    if next > 0, !rowTypes.isEmpty {
      if let entry, min(entry, next) >= archivedLast {
        try change(from: entry, to: next, progress)
      } else {
        // Which streams changed is not known here: all of them are made again.
        if entry != nil { try forgetAll() }
        try make(at: next, progress)
      }
    }
    try onDatabase { () throws(PostgresError) in
      if place.isTemporary {
        try connection.execute("UPDATE pg_temp.opsledger_moment SET entry = \(next)")
      }
      if !rowTypes.isEmpty {
        // A tenth of the usual sample: it would take longer than what most queries ask.
        try connection.execute(
          "SET LOCAL default_statistics_target = 10; ANALYZE "
            + tables.map(qualified).joined(separator: ", ")
            + "; SET LOCAL default_statistics_target TO DEFAULT")
      }
    }
    entry = next
  }

  private var tables: [String] {
    RowType.allCases.filter(rowTypes.contains).map { TableText.of($0).table }
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

  /// Rows of the streams that have events between the two moments are removed and made again.
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
    // Two readers gain nothing where a slice takes less than it takes to begin one; and few streams are
    // found by their index, without a look at the whole log.
    if count < Self.fewStreams {
      return try fill([.streams(changedStreams())], upTo: next, progress)
    }
    let slices = Slice.count(rows: count)
    try fill(
      (0..<slices).map { .changed(in: range, remainder: $0, of: slices) }, upTo: next, progress)
  }

  private static let fewStreams = 1000

  /// Of the last call of ``forget(in:)``.
  private func changedStreams() throws(OpsError) -> [StreamID] {
    let rows = try onDatabase { () throws(PostgresError) in
      try connection.query(Statement("SELECT c.stream FROM pg_temp.opsledger_changed AS c"))
    }
    return try rows.ids()
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
    eventCount += fill.fold.eventCount
    for filled in fill.tables { _ = try filled.write(on: connection) }
  }

  /// The entries among these that have left the database.
  func archivedEntries(_ range: ClosedRange<Int64>) throws(OpsError) -> [Int64] {
    var entries: [Int64] = []
    try moment.reader().archived(range, .all) { (event) throws(OpsError) in
      if entries.last != event.entry { entries.append(event.entry) }
    }
    return entries
  }

  private func forgetAll() throws(OpsError) {
    try onDatabase { () throws(PostgresError) in
      try connection.execute(
        "TRUNCATE " + tables.map(qualified).joined(separator: ", "))
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
        WHERE \(Slice.hash(remainder: 0, of: 1).only(rowTypes).condition(range));
        ANALYZE pg_temp.opsledger_changed
        """)
      for (table, stream) in StateShapes.streams where tables.contains(table) {
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

/// Copies lines of a snapshot into the tables: as they are, or of each the columns that are filled.
private final class KeptCopy: KeptRows {
  private let prefix: String
  private let columns: StateColumns
  private let connection: Connection
  private var writer: CopyWriter?
  /// The places of the noun's columns, in their order; nil: all.
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
      // What a snapshot's line lacks, the server refuses.
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

/// Columns of tables, as places among the ledger's columns, in their order; never none of a table.
typealias StateColumns = [RowType: [Int]]

extension StateColumns {
  static let ofTheEight = all(of: Set(RowType.allCases.filter(\.isOfTheEight)))

  static func all(of rowTypes: Set<RowType>) -> StateColumns {
    StateColumns(
      uniqueKeysWithValues: rowTypes.map { ($0, Array(TableText.of($0).columns.indices)) })
  }
}

/// What the tables and views look like, read from the catalogue.
struct StateShapes {
  /// The eight.
  static let tables = RowType.allCases.filter(\.isOfTheEight).map { TableText.of($0).table }
  /// The expression that gives the stream of a row of each.
  static let streams = StreamExpressions.all
  private static let views = [
    "ops_policy_history", "ops_policy_audit", "ops_proposal_votes", "ops_step_dead_letters",
    "ops_radar",
  ]

  private var columns: [String: String] = [:]
  private var views: [(name: String, text: String)] = []

  init(_ session: Session) throws(OpsError) {
    for rowType in RowType.allCases where rowType.isOfTheEight {
      let text = TableText.of(rowType)
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

  /// The tables that a query can mean by what it is written with: all of them where it names a view.
  static func tables(namedIn query: String) -> [String] {
    let text = query.lowercased()
    if views.contains(where: text.contains) { return tables }
    return tables.filter(text.contains)
  }

  /// - Parameter isAll: Whether others are there already, so that views find all of them.
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

/// The SQL expression that gives each table's streams.
private struct StreamExpressions: RowVisitor {
  static let all: [(table: String, stream: String)] = {
    var visitor = StreamExpressions()
    try? visitor.visitParentsFirst()
    return visitor.found
  }()

  private var found: [(table: String, stream: String)] = []

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    if R.name.isOfTheEight { found.append((R.table, R.streamSQL)) }
  }
}
