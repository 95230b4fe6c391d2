public import Ledger
public import Postgres

/// Which rows of a table to list, newest first.
public struct RowQuery<R: Row> {
  var conditions: [String] = []
  var parameters = Parameters()
  var order: String
  var limit: Int

  init(order: String, limit: Int) {
    self.order = order
    self.limit = limit
  }

  /// Adds a condition over one more parameter, which the text calls `$?`.
  mutating func and(_ condition: String, _ append: (inout Parameters) -> Void) {
    append(&parameters)
    let number = "$\(parameters.count)"
    conditions.append(
      condition.split(separator: "$?", omittingEmptySubsequences: false).joined(separator: number))
  }

  mutating func and(_ condition: String) { conditions.append(condition) }
}

extension Session {
  /// The rows that a query is about.
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
  /// - Throws: `OPS_011` where there is none.
  public func find<R: Row>(_ id: StreamID, as thing: String) throws(OpsError) -> R {
    var parameters = Parameters()
    parameters.uuid(id)
    let rows = try query(
      Statement("SELECT \(R.select("t")) FROM \(R.relation) AS t WHERE t.id = $1::uuid"), parameters
    )
    guard rows.count == 1 else { throw OpsError.notFound(thing, id) }
    return try rows.row(0, of: R.self)
  }
}

extension OpsError {
  /// `OPS_011` for a thing that is not there.
  public static func notFound(_ thing: String, _ id: StreamID) -> OpsError {
    OpsError(
      .notFound, "there is no \(thing) \(id)", hint: "see `opsledger \(thing) list`",
      facts: ["\(thing)_id": id.description])
  }
}

extension RowQuery where R == AgentEvent {
  /// - Parameter type: A type, in which `*` stands for any text.
  public static func agentEvents(
    type: String?, unprocessed: Bool, limit: Int
  ) -> RowQuery {
    var query = RowQuery(order: "t.created_at DESC, t.id DESC", limit: limit)
    if let type { query.and("t.type LIKE $?::text") { $0.text(likePattern(type)) } }
    if unprocessed { query.and("t.processed_at IS NULL") }
    return query
  }

  /// A glob as LIKE reads it.
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
    var query = RowQuery(order: "t.created_at DESC, t.id DESC", limit: limit)
    if let status {
      query.and("t.status = $?::text::public.ops_proposal_status") { $0.text(status.rawValue) }
    }
    if let source { query.and("t.source = $?::text") { $0.text(source.rawValue) } }
    return query
  }
}

extension RowQuery where R == Mission {
  public static func missions(status: Mission.Status?, limit: Int) -> RowQuery {
    var query = RowQuery(order: "t.created_at DESC, t.id DESC", limit: limit)
    if let status {
      query.and("t.status = $?::text::public.ops_mission_status") { $0.text(status.rawValue) }
    }
    return query
  }
}

extension RowQuery where R == Step {
  /// - Parameter dead: Only steps that failed for good; not those skipped because of them.
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
  /// - Parameter all: Also those that were released.
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
  /// The row that holds and prunes both lock: whichever is second sees what the first did.
  public static let lockRetention = Statement(
    "SELECT l.key FROM ledger.ledger AS l WHERE l.key = 'main' FOR NO KEY UPDATE")

  /// The titles of proposals, by their ids, where their templates have one.
  public func titles(of proposals: [StreamID]) throws(OpsError) -> [StreamID: String] {
    var parameters = Parameters()
    parameters.uuids(proposals)
    let rows = try query(
      Statement(
        """
        SELECT id, template->>'title' FROM public.ops_mission_proposals
        WHERE id = ANY ($1::uuid[]) AND template->>'title' IS NOT NULL
        """), parameters)
    return try onDatabase { () throws(PostgresError) in
      var titles: [StreamID: String] = [:]
      for row in 0..<rows.count { titles[StreamID(try rows.uuid(row, 0))] = try rows.text(row, 1) }
      return titles
    }
  }
}
