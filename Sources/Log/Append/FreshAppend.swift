import JSON
public import Ledger
import Postgres

extension Session {
  /// Records events of new streams, with their rows, in one round trip. New rows need no lock, so the statement that
  /// writes them can also allocate the entry.
  ///
  /// - Parameter draft: A draft made at ``Instant/allocated``; that time becomes the entry's.
  /// - Throws: Like ``perform(_:_:afterLostRace:)``.
  public func appendFresh(_ key: CommandKey, _ draft: Draft) throws(OpsError) -> Committed<Void> {
    try append(key, draft, tables: draft.freshTables)
  }

  /// Records the events without the rows, to measure the cost of rows.
  package func appendFreshEvents(
    _ key: CommandKey, _ draft: Draft
  ) throws(OpsError) -> Committed<Void> {
    try append(key, draft, tables: [])
  }

  private static let reported = AgentEvent.eventType(.reported)

  private func append(
    _ key: CommandKey, _ draft: Draft, tables: [RowType]
  ) throws(OpsError) -> Committed<Void> {
    let statement: Statement
    let shape = FreshShape(tables: tables, isSingle: draft.events.count == 1)
    if shape.isSingle, tables == [.agentEvent], draft.events[0].type == Self.reported {
      statement = Self.appendReport
    } else if let known = freshAppends[shape] {
      statement = known
    } else {
      statement = Self.freshAppend(shape)
      freshAppends[shape] = statement
    }
    let parameters = draft.freshParameters(key, tables)
    return try retrying { connection in
      let backend = connection.backend
      do throws(PostgresError) {
        return .committed(try Committed(allocated: connection.query(statement, parameters)))
      } catch {
        return .failed(
          error,
          Doubt(backend: backend) { (session) throws(OpsError) in try session.appended(draft, key) }
        )
      }
    }
  }

  /// The entry that has the first event of the draft's first stream. The stream is new, so only this append can have
  /// begun it.
  private func appended(_ draft: Draft, _ key: CommandKey) throws(OpsError) -> Committed<Void>? {
    guard let first = draft.events.first else { return nil }
    var parameters = Parameters()
    parameters.uuid(first.stream)
    parameters.uuid(key.id)
    let rows = try readBack(Self.findStream, parameters)
    if rows.isEmpty { return nil }
    return try onDatabase { () throws(PostgresError) in try Committed(allocated: rows) }
  }

  private static let findStream = Statement(
    """
    SELECT e.entry, e.recorded_at FROM ledger.events AS e
    WHERE e.stream = $1::uuid AND e.version = 1 AND e.command = $2::uuid
    """)

  /// `$1` command, `$2` actor, `$3…$9` the events, then the rows of each table; events and rows as arrays, or as plain
  /// values if there is one event.
  private static func freshAppend(_ shape: FreshShape) -> Statement {
    let carriers = ["uuid", "integer", "text", "bigint", "json", "json", "bytea"]
    let elements = shape.elements(
      of: carriers.enumerated().map { "$\($0 + 3)::\($1)" }, isNumbered: true)
    var parts = [
      "d AS MATERIALIZED (SELECT entry, recorded_at FROM ledger.allocate_entry())",
      """
      e AS (INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor,
          cause, command, data, content, salt)
        SELECT d.entry, v.at - 1, v.stream, v.version, v.type, d.recorded_at, $2::text,
          v.cause, $1::uuid, v.data, v.content, v.salt
        FROM d, \(elements) AS v(at, stream, version, type, cause, data, content, salt))
      """,
    ]
    var first = 10
    for (index, table) in shape.tables.enumerated() {
      let text = TableText.of(table)
      parts.append("r\(index) AS (\(text.insertAllocated(first: first, shape)))")
      first += text.columns.count
    }
    return Statement(
      "WITH \(parts.joined(separator: ",\n")) SELECT entry, recorded_at FROM d")
  }
}

extension Committed where Answer == Void {
  /// - Parameter rows: The entry and its time.
  fileprivate init(allocated rows: Rows) throws(PostgresError) {
    self.init(
      entry: try rows.int8(0, 0), at: Instant(micros: try rows.timestamptz(0, 1)), answer: ())
  }
}

extension Session {
  /// The SQL function that writes a single agent event. It takes the same parameters.
  private static let appendReport: Statement = {
    let row = TableText.agentEvent.columns.enumerated().filter {
      !["id", "version"].contains($0.element.name)
    }
    let columns = row.map { "\($0.element.name) => $\($0.offset + 10)::\($0.element.carrier)" }
    return Statement(
      """
      SELECT entry, recorded_at FROM ledger.append_agent_event(command => $1::uuid, actor => $2::text,
        stream => $3::uuid, version => $4::integer, cause => $6::bigint,
        event => $7::json, content => $8::json, salt => $9::bytea, \(columns.joined(separator: ", ")))
      """)
  }()
}

extension Draft {
  /// The row types that have new rows, in the order of ``freshParameters(_:_:)``.
  fileprivate var freshTables: [RowType] {
    precondition(
      [
        policies.isEmpty, reactions.isEmpty, proposals.isEmpty, missions.isEmpty, steps.isEmpty,
        runs.isEmpty, holds.isEmpty, ledger.isEmpty,
      ].allSatisfy(\.self), "only rows that refer to no other are appended without loading")
    return (radar.isEmpty ? [] : [.radar]) + (agentEvents.isEmpty ? [] : [.agentEvent])
  }

  fileprivate func freshParameters(_ key: CommandKey, _ tables: [RowType]) -> Parameters {
    var parameters = Parameters(reserving: 32, bytes: 512 * events.count)
    parameters.uuid(key.id)
    parameters.text(key.actor)
    if events.count == 1 {
      parameters.event(events[0])
    } else {
      parameters.events(events)
    }
    if tables.contains(.radar) { add(radar, to: &parameters) }
    if tables.contains(.agentEvent) { add(agentEvents, to: &parameters) }
    return parameters
  }

  private func add<R: Row>(_ table: DraftTable<R>, to parameters: inout Parameters) {
    let rows = table.slots.compactMap(\.current)
    guard events.count == 1 else {
      return Self.append(rows, Array(R.columns.indices), to: &parameters)
    }
    for row in rows {
      for column in R.columns { parameters.value(column.get(row), of: column.type) }
    }
  }
}
