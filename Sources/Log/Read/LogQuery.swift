public import Ledger
import Postgres

/// Which events of the log to read.
public struct LogQuery: Sendable {
  public var stream: StreamID?
  /// Entries from and to, both included.
  public var entries: ClosedRange<Int64>?
  /// A type, in which `*` stands for any text.
  public var type: String?
  /// Only what is sealed: what can no longer change.
  public var sealedOnly = false
  /// Which to leave out where there are more than this.
  public var limit: Int
  public var keeps: Keeps

  public enum Keeps: Sendable { case first, last }

  public init(limit: Int, keeps: Keeps) {
    self.limit = limit
    self.keeps = keeps
  }
}

extension Session {
  static let logPage = 1000

  /// Hands over the events of a query, in the order of the log.
  ///
  /// The last ones of many are held in memory together; the first ones are read page by page.
  public func log(
    _ query: LogQuery, _ each: (LoggedEvent) -> Void
  ) throws(OpsError) {
    switch query.keeps {
    case .last:
      let rows = try page(query, after: nil, limit: query.limit)
      for event in rows.reversed() { each(event) }
    case .first:
      var left = query.limit
      var last: (Int64, Int32)?
      while left > 0 {
        let size = min(left, Self.logPage)
        let events = try page(query, after: last, limit: size)
        for event in events { each(event) }
        guard events.count == size, let end = events.last else { return }
        last = (end.entry, end.index)
        left -= size
      }
    }
  }

  private func page(
    _ query: LogQuery, after last: (Int64, Int32)?, limit: Int
  ) throws(OpsError) -> [LoggedEvent] {
    var parameters = Parameters()
    var conditions: [String] = []
    if let stream = query.stream {
      parameters.uuid(stream)
      conditions.append("e.stream = $\(parameters.count)::uuid")
    }
    if let entries = query.entries {
      parameters.int8(entries.lowerBound)
      parameters.int8(entries.upperBound)
      let count = parameters.count
      conditions.append("e.entry BETWEEN $\(count - 1)::bigint AND $\(count)::bigint")
    }
    if let type = query.type {
      parameters.text(RowQuery<AgentEvent>.likePattern(type))
      conditions.append("e.type LIKE $\(parameters.count)::text")
    }
    if let last {
      parameters.int8(last.0)
      parameters.int4(last.1)
      let count = parameters.count
      // The first alone would not let partitions be left out.
      conditions.append("(e.entry, e.index) > ($\(count - 1)::bigint, $\(count)::integer)")
      conditions.append("e.entry >= $\(count - 1)::bigint")
    }
    if query.sealedOnly { conditions.append("e.entry <= (SELECT ledger.sealed())") }
    parameters.int8(Int64(limit))
    let filter = conditions.isEmpty ? "" : "WHERE " + conditions.joined(separator: " AND ")
    let order = query.keeps == .last ? "DESC" : "ASC"
    let statement = Statement(
      """
      SELECT \(LoggedEvent.columns) FROM ledger.events AS e \(filter)
      ORDER BY e.entry \(order), e.index \(order) LIMIT $\(parameters.count)::bigint
      """)
    return try HistoryReader.read(self, first: [(statement, parameters)]) {
      (answers, _) throws(OpsError) in try answers[0].events()
    }
  }

  /// Seals what can be sealed.
  ///
  /// - Returns: The greatest entry that is sealed.
  /// - Throws: `OPS_015` where this database is not the one that was settled.
  public func seal() throws(OpsError) -> Int64 { try number(Statement("SELECT ledger.seal()")) }

  /// How far the log is sealed, for those who read it: seals first, where that is allowed here.
  public func sealed() throws(OpsError) -> Int64 {
    do throws(OpsError) {
      return try seal()
    } catch {
      guard
        error.code == .notAllowed || error.code == .storeDiverged
          || error.facts["sqlstate"] == "25006"
      else { throw error }
      return try number(Statement("SELECT ledger.sealed()"))
    }
  }

  private func number(_ statement: Statement) throws(OpsError) -> Int64 {
    let rows = try query(statement)
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }
}
