public import Ledger
import Postgres

public struct LogQuery: Sendable {
  public var stream: StreamID?
  /// The first and the last entry.
  public var entries: ClosedRange<Int64>?
  /// A type, in which `*` stands for any text.
  public var type: String?
  /// Only sealed events, which can no longer change.
  public var sealedOnly = false
  /// The greatest number of events.
  public var limit: Int
  /// Which events to keep if there are more.
  public var keeps: Keeps

  public enum Keeps: Sendable { case first, last }

  public init(limit: Int, keeps: Keeps) {
    self.limit = limit
    self.keeps = keeps
  }
}

extension LogQuery {
  /// Calls `each` with the query's events of the archived log, or of a store without its database, in the order of the
  /// log.
  ///
  /// - Returns: The number of events.
  public func run(in log: any ArchivedLog, _ each: (LoggedEvent) -> Void) throws(OpsError) -> Int {
    let types = type.map(Glob.init)
    let wanted = ArchivedQuery(entries ?? 0...Int64.max, stream.map { .these([$0]) } ?? .all)
    var found: [LoggedEvent] = []
    var count = 0
    guard limit > 0 else { return 0 }
    switch keeps {
    case .first:
      try log.events(wanted) { (event) throws(OpsError) in
        let event = LoggedEvent(event)
        guard types?.matches(event.type) ?? true else { return true }
        each(event)
        count += 1
        return count < limit
      }
      return count
    case .last:
      try log.eventsBackwards(wanted) { (event) throws(OpsError) in
        if types?.matches(event.type) ?? true { found.append(event) }
        return found.count < limit
      }
      for event in found.reversed() { each(event) }
      return found.count
    }
  }
}

extension Session {
  static let logPage = 1000

  /// Calls `each` with the events of a query, in the order of the log.
  ///
  /// The first events are read page by page. The last events are all held in memory.
  ///
  /// - Throws: `OPS_001` if some of them are archived, and no store is available.
  public func log(_ query: LogQuery, _ each: (LoggedEvent) -> Void) throws(OpsError) {
    switch query.keeps {
    case .last:
      let rows = try page(query, after: nil, limit: query.limit)
      for event in rows.reversed() { each(event) }
    case .first:
      var query = query
      query.limit -= try archivedFirst(query, each)
      var last: (Int64, Int32)?
      while query.limit > 0 {
        let size = min(query.limit, Self.logPage)
        let events = try page(query, after: last, limit: size)
        for event in events { each(event) }
        guard events.count == size, let end = events.last else { return }
        last = (end.entry, end.index)
        query.limit -= size
      }
    }
  }

  /// The archived events, which come first.
  ///
  /// - Returns: The number of events.
  private func archivedFirst(_ query: LogQuery, _ each: (LoggedEvent) -> Void) throws(OpsError)
    -> Int
  {
    try HistoryReader.read(self, first: []) { (_, reader) throws(OpsError) in
      guard query.limit > 0, let archivedPart = reader.archivedPart,
        let range = archivedPart.part(of: query.entries ?? 0...Int64.max)
      else { return 0 }
      if let stream = query.stream, query.entries == nil {
        // Nothing of a stream is archived while the database has its first event.
        let first = try reader.ask([(Self.firstVersion, Parameters(stream))])[0]
        if !first.isEmpty { return 0 }
      }
      var query = query
      query.entries = range
      return try query.run(in: archivedPart.log(), each)
    }
  }

  private static let firstVersion = Statement(
    "SELECT e.entry FROM ledger.events AS e WHERE e.stream = $1::uuid AND e.version = 1")

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
      // The planner skips partitions by the second condition only.
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
      (answers, reader) throws(OpsError) in
      let hot = try answers[0].events()
      guard query.keeps == .last, hot.count < limit, hot.last?.version != 1 || query.stream == nil,
        let archivedPart = reader.archivedPart,
        let range = archivedPart.part(of: query.entries ?? 0...Int64.max)
      else { return hot }
      var rest = query
      (rest.entries, rest.limit) = (range, limit - hot.count)
      var archived: [LoggedEvent] = []
      _ = try rest.run(in: archivedPart.log()) { archived.append($0) }
      return hot + archived.reversed()
    }
  }

  /// Seals as many entries as possible.
  ///
  /// - Returns: The last sealed entry.
  /// - Throws: `OPS_015` if this database is a copy.
  public func seal() throws(OpsError) -> Int64 { try number(Statement("SELECT ledger.seal()")) }

  /// The last sealed entry, for readers. It seals first, if the login and the database allow that.
  public func sealed() throws(OpsError) -> Int64 {
    do throws(OpsError) {
      return try seal()
    } catch {
      guard
        error.code == .notAllowed || error.code == .storeDiverged
          || error.database?.isReadOnly == true
      else { throw error }
      return try number(Statement("SELECT ledger.sealed()"))
    }
  }
}
