public import Ledger
public import Postgres

/// Which rows of a table to list, and in which order.
public struct RowQuery<R: Row> {
  var conditions: [String] = []
  var parameters = Parameters()
  var order: String
  var limit: Int

  init(order: String = "t.created_at DESC, t.id DESC", limit: Int) {
    self.order = order
    self.limit = limit
  }

  /// Adds a condition with one more parameter, which the text calls `$?`.
  mutating func and(_ condition: String, _ append: (inout Parameters) -> Void) {
    append(&parameters)
    conditions.append(condition.replacing("$?", with: "$\(parameters.count)"))
  }

  mutating func and(_ condition: String) { conditions.append(condition) }
}

extension Session {
  public func list<R: Row>(_ query: RowQuery<R>) throws(OpsError) -> [R] {
    var parameters = query.parameters
    parameters.int8(Int64(query.limit))
    let filter =
      query.conditions.isEmpty ? "" : "WHERE " + query.conditions.joined(separator: " AND ")
    let sql = """
      SELECT \(R.select("t")) FROM \(R.relation) AS t \(filter)
      ORDER BY \(query.order) LIMIT $\(parameters.count)::bigint
      """
    return try self.query(Statement(sql), parameters).rows(of: R.self)
  }

  /// One row by its id.
  ///
  /// - Throws: `OPS_011` if there is none.
  public func find<R: Row>(_ id: StreamID, as thing: String) throws(OpsError) -> R {
    let rows = try query(R.byID, Parameters(id))
    guard rows.count == 1 else { throw OpsError.notFound(thing, id) }
    return try rows.row(0, of: R.self)
  }
}

extension Row {
  /// `$1` the row's id.
  static var byID: Statement {
    Statement("SELECT \(select("t")) FROM \(relation) AS t WHERE t.id = $1::uuid")
  }
}

extension OpsError {
  /// `OPS_011`: there is no such row.
  public static func notFound(_ thing: String, _ id: StreamID) -> OpsError {
    OpsError(
      .notFound, "there is no \(thing) \(id)", hint: "see `opsledger \(thing) list`",
      facts: ["\(thing)_id": id.description])
  }
}

extension RowQuery where R == AgentEvent {
  /// - Parameter type: A type, in which `*` stands for any text.
  public static func agentEvents(type: String?, unprocessed: Bool, limit: Int) -> RowQuery {
    var query = RowQuery(limit: limit)
    if let type { query.and("t.type LIKE $?::text") { $0.text(likePattern(type)) } }
    if unprocessed { query.and("t.processed_at IS NULL") }
    return query
  }

  /// The LIKE pattern for a glob.
  static func likePattern(_ glob: String) -> String {
    var pattern = ""
    for character in glob {
      switch character {
      case "*": pattern += "%"
      case "%", "_", "\\": pattern += "\\\(character)"
      default: pattern.append(character)
      }
    }
    return pattern
  }
}

extension RowQuery where R == Proposal {
  public static func proposals(
    status: Proposal.Status?, source: Proposal.Source?, limit: Int
  ) -> RowQuery {
    var query = RowQuery(limit: limit)
    if let status {
      query.and("t.status = $?::text::public.ops_proposal_status") { $0.text(status.rawValue) }
    }
    if let source { query.and("t.source = $?::text") { $0.text(source.rawValue) } }
    return query
  }
}

extension RowQuery where R == Mission {
  public static func missions(status: Mission.Status?, limit: Int) -> RowQuery {
    var query = RowQuery(limit: limit)
    if let status {
      query.and("t.status = $?::text::public.ops_mission_status") { $0.text(status.rawValue) }
    }
    return query
  }
}

extension RowQuery where R == Step {
  /// - Parameter dead: Only dead letters, without the steps that were skipped because of them.
  public static func steps(
    status: Step.Status?, mission: StreamID?, dead: Bool, limit: Int
  ) -> RowQuery {
    let order =
      mission == nil ? "t.created_at DESC, t.ordinal, t.id" : "t.ordinal, t.created_at, t.id"
    var query = RowQuery(order: order, limit: limit)
    if let status {
      query.and("t.status = $?::text::public.ops_step_status") { $0.text(status.rawValue) }
    }
    if let mission { query.and("t.mission_id = $?::uuid") { $0.uuid(mission) } }
    if dead { query.and("t.status = 'failed' AND t.failure_count > 0") }
    return query
  }
}

extension RowQuery where R == Radar {
  public static func radar(stage: Radar.Stage?, limit: Int) -> RowQuery {
    var query = RowQuery(order: "t.updated_at DESC, t.id DESC", limit: limit)
    if let stage { query.and("t.stage = $?::text") { $0.text(stage.rawValue) } }
    return query
  }
}

extension RowQuery where R == Hold {
  /// - Parameter all: Also released holds.
  public static func holds(all: Bool, limit: Int) -> RowQuery {
    var query = RowQuery(order: "t.placed_at DESC, t.id DESC", limit: limit)
    if !all { query.and("t.released_at IS NULL") }
    return query
  }
}

extension RowQuery where R == Policy {
  public static func policies(limit: Int) -> RowQuery {
    RowQuery(order: "t.key", limit: limit)
  }
}

extension Session {
  /// Locks the row that placing a hold and retention both lock, so that the second sees what the first did.
  public static let lockRetention = Statement(
    "SELECT l.key FROM ledger.ledger AS l WHERE l.key = 'main' FOR NO KEY UPDATE")

  /// The titles of proposals, by their ids. A template need not have one.
  public func titles(of proposals: [StreamID]) throws(OpsError) -> [StreamID: String] {
    let rows = try query(
      Statement(
        """
        SELECT id, template->>'title' FROM public.ops_mission_proposals
        WHERE id = ANY ($1::uuid[]) AND template->>'title' IS NOT NULL
        """), Parameters(proposals))
    let titles = try rows.map { (row) throws(PostgresError) in
      (StreamID(try rows.uuid(row, 0)), try rows.text(row, 1))
    }
    return Dictionary(titles) { first, _ in first }
  }
}
