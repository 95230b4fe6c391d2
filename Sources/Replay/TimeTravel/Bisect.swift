public import Ledger
public import Log
import Postgres

/// An entry at which the answer to a query changes from false to true.
public struct Bisection: Equatable, Sendable {
  public let entry: Int64
  /// The entry before it, at which the answer is false, or the entry at which the search began.
  public let before: Int64
  /// Whether the answer is false at every entry since the beginning of the search. Otherwise there may be earlier changes.
  public let isFirst: Bool
  /// How many states of the tables the search made.
  public let statesBuilt: Int

  public init(entry: Int64, before: Int64, isFirst: Bool, statesBuilt: Int) {
    (self.entry, self.before) = (entry, before)
    (self.isFirst, self.statesBuilt) = (isFirst, statesBuilt)
  }
}

extension TimeTravel {
  /// Finds an entry at which a query's boolean becomes true, by halving the range.
  ///
  /// The tables are made once. For each question, the rows of the streams with events in between are replaced. If the
  /// answer changes more than once, the search finds one of the changes from false to true. To find the first change, it
  /// asks at every earlier entry that changed a table of the query.
  ///
  /// - Parameters:
  ///   - sql: One query that returns one boolean. NULL and no row count as false.
  ///   - from: The entry at which the answer must be false.
  ///   - to: The entry at which the answer must be true.
  ///   - first: Whether to find the first change.
  /// - Throws: `OPS_011` if the answer is true at the start or false at the end, `OPS_019` if the query does not return
  ///   one boolean.
  public static func bisect(
    _ sql: String, _ target: Session.Target, from: Int64, to: Int64, first: Bool = false,
    snapshots: (any StateSnapshots)? = nil, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> Bisection {
    guard from <= to else {
      throw OpsError(
        .badInput, "the search ends at entry \(to), before its start at entry \(from)",
        hint: "give the earlier moment as --from")
    }
    return try snapshots.fallingBack { () throws(OpsError) in
      let search = try Search(sql, target, snapshots, progress)
      defer { search.tables.end() }
      return try search.run(from: from, to: to, first: first)
    }
  }

  private final class Search {
    let tables: StateTables
    private let question: StateQuery
    private let entries: Session
    private let progress: ReplayProgress
    private var statesBuilt = 0
    /// The archived entries, in order.
    private var archived: [Int64] = []
    /// The row types whose tables the query reads; nil if unknown.
    private var rowTypes: [String]?

    init(
      _ sql: String, _ target: Session.Target, _ snapshots: (any StateSnapshots)?,
      _ progress: ReplayProgress
    ) throws(OpsError) {
      entries = try Session(target)
      tables = try StateTables(target, .temporary, from: snapshots, on: entries, for: sql)
      question = StateQuery(sql, tables)
      self.progress = progress
      let (columns, read) = try question.look()
      guard columns.count == 1, columns[0].type == .bool else {
        throw OpsError(
          .badInput,
          "the query must return one column of type boolean; it returns \(columns.count) column(s)",
          hint: "for example: SELECT count(*) > 5 FROM ops_missions")
      }
      // All columns: rows are found by their keys when the tables change.
      if let read {
        tables.fillOnly(.all(of: Set(read.keys)))
        if !sql.lowercased().contains("moment") { rowTypes = read.keys.map(\.rawValue) }
      }
    }

    func run(from: Int64, to: Int64, first: Bool) throws(OpsError) -> Bisection {
      archived = try tables.archivedEntries(from...to)
      guard !(try isTrue(at: from)) else {
        throw OpsError(
          .notFound, "the query is already true at entry \(from), where the search begins",
          hint: "give an earlier --from, or negate the query")
      }
      guard try isTrue(at: to), var high = try last(upTo: to), high > from else {
        throw OpsError(
          .notFound, "the query is not true at entry \(to), where the search ends",
          hint: "give a later --to, or negate the query")
      }
      var low = from
      while case let between = try count(after: low, before: high), between > 0 {
        let middle = try entry(after: low, skipping: between / 2)
        if try isTrue(at: middle) { high = middle } else { low = middle }
      }
      if first { return try scan(after: from, to: high) }
      return Bisection(entry: high, before: low, isFirst: low == from, statesBuilt: statesBuilt)
    }

    /// Asks at each entry in turn. The answer at `last` is known to be true.
    private func scan(after from: Int64, to last: Int64) throws(OpsError) -> Bisection {
      var low = from
      while true {
        let batch = try entries(after: low, before: last)
        for entry in batch {
          if try isTrue(at: entry) {
            return Bisection(entry: entry, before: low, isFirst: true, statesBuilt: statesBuilt)
          }
          low = entry
        }
        if batch.isEmpty {
          return Bisection(entry: last, before: low, isFirst: true, statesBuilt: statesBuilt)
        }
      }
    }

    /// The next entries that may change the answer, in order. Empty if there are no more.
    private func entries(after low: Int64, before high: Int64) throws(OpsError) -> [Int64] {
      let left = archived.filter { $0 > low && $0 < high }
      if !left.isEmpty { return left }
      var parameters = Parameters(low, high)
      parameters.texts(rowTypes ?? RowType.allCases.map(\.rawValue))
      let rows = try entries.query(Self.nextEntries, parameters)
      return try onDatabase { () throws(PostgresError) in
        try (0..<rows.count).map { (row) throws(PostgresError) in try rows.int8(row, 0) }
      }
    }

    private static let nextEntries = Statement(
      """
      SELECT DISTINCT e.entry FROM ledger.events AS e
      WHERE e.entry > $1::bigint AND e.entry < $2::bigint
        AND split_part(e.type, '.', 1) = ANY ($3::text[]) ORDER BY e.entry LIMIT 1000
      """)

    private func isTrue(at entry: Int64) throws(OpsError) -> Bool {
      try tables.move(to: entry, progress)
      statesBuilt += 1
      var answers: [Bool] = []
      // Two answers show that there is more than one row.
      let live = try question.run(
        head: { _ in },
        each: { row in if answers.count < 2 { answers.append(row[0] == "t") } })
      guard live.isEmpty else {
        throw OpsError(
          .badInput,
          "a function of the query reads \(live.joined(separator: ", ")) as of now, not as of the moment",
          hint: "write the function's query into this query")
      }
      guard answers.count < 2 else {
        throw OpsError(
          .badInput, "the query returns more than one row at entry \(entry)",
          hint: "for example: SELECT EXISTS (…)")
      }
      return answers.first ?? false
    }

    private func last(upTo entry: Int64) throws(OpsError) -> Int64? {
      try number("SELECT max(e.entry) FROM ledger.events AS e WHERE e.entry <= $1::bigint", entry)
        ?? archived.last { $0 <= entry }
    }

    private func count(after low: Int64, before high: Int64) throws(OpsError) -> Int64 {
      let hot = try number(
        """
        SELECT count(*) FROM ledger.events AS e
        WHERE e.index = 0 AND e.entry > $1::bigint AND e.entry < $2::bigint
        """, low, high)
      return (hot ?? 0) + Int64(archived.count { $0 > low && $0 < high })
    }

    private func entry(after low: Int64, skipping count: Int64) throws(OpsError) -> Int64 {
      let left = archived.drop { $0 <= low }
      if count < left.count { return left[left.startIndex + Int(count)] }
      let found = try number(
        """
        SELECT e.entry FROM ledger.events AS e WHERE e.index = 0 AND e.entry > $1::bigint
        ORDER BY e.entry OFFSET $2::bigint LIMIT 1
        """, low, count - Int64(left.count))
      guard let found else {
        throw OpsError(
          .inconsistentRow, "the log lost entries after \(low) during the search",
          hint: "`opsledger verify` shows what is missing")
      }
      return found
    }

    private func number(_ sql: String, _ values: Int64...) throws(OpsError) -> Int64? {
      var parameters = Parameters()
      for value in values { parameters.int8(value) }
      let rows = try entries.query(Statement(sql), parameters)
      return try onDatabase { () throws(PostgresError) in
        rows.isEmpty ? nil : try rows.int8IfPresent(0, 0)
      }
    }
  }
}
