public import Ledger
public import Log
import Postgres

/// An entry after which a question is answered yes, and before which it was answered no.
public struct Bisection: Equatable, Sendable {
  public let entry: Int64
  /// The entry before it, where the answer was no: the one that the search began with, or the one next to it.
  public let before: Int64
  /// Whether every entry before it, back to the beginning of the search, was answered no. Else it is one change from
  /// no to yes, and there may be earlier ones.
  public let isFirst: Bool
  /// How many states of the tables were made to find it.
  public let statesBuilt: Int

  public init(entry: Int64, before: Int64, isFirst: Bool, statesBuilt: Int) {
    (self.entry, self.before) = (entry, before)
    (self.isFirst, self.statesBuilt) = (isFirst, statesBuilt)
  }
}

extension TimeTravel {
  /// Finds an entry at which the query's boolean became true, by halving.
  ///
  /// The tables are made once and then moved, by the streams that have events in between. Where the answer
  /// changes more than once, one of the changes from false to true is found; the first one only by asking at every
  /// entry before it that changed a table which the query reads.
  ///
  /// - Parameters:
  ///   - sql: One statement that gives one boolean; NULL, and no row, are false.
  ///   - from: Where it must be false.
  ///   - to: Where it must be true.
  ///   - first: Whether it has to be the first such entry.
  /// - Throws: `OPS_011` where it is true at the start or false at the end, `OPS_019` where the query gives
  ///   something else.
  public static func bisect(
    _ sql: String, _ target: Session.Target, from: Int64, to: Int64, first: Bool = false,
    snapshots: (any StateSnapshots)? = nil, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> Bisection {
    guard from <= to else {
      throw OpsError(.badInput, "the search goes from \(from) to \(to), which is before it")
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
    /// The entries that have left the database, in order.
    private var archived: [Int64] = []
    /// The nouns whose tables the query reads; nil where any may matter.
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
          .badInput, "the query must give one boolean, and gives \(columns.count) column(s)",
          hint: "like SELECT count(*) > 5 FROM public.ops_missions")
      }
      // All columns: rows are found by their keys when the tables move.
      if let read {
        tables.fillOnly(.all(of: Set(read.keys)))
        if !sql.lowercased().contains("moment") { rowTypes = read.keys.map(\.rawValue) }
      }
    }

    func run(from: Int64, to: Int64, first: Bool) throws(OpsError) -> Bisection {
      archived = try tables.archivedEntries(from...to)
      guard !(try isTrue(at: from)) else {
        throw OpsError(
          .notFound, "it is true already at entry \(from)",
          hint: "begin earlier, --from; or is it asked the wrong way round?")
      }
      guard try isTrue(at: to), var high = try last(upTo: to), high > from else {
        throw OpsError(.notFound, "it is not true at entry \(to)", hint: "go further, --to")
      }
      var low = from
      while case let between = try count(after: low, before: high), between > 0 {
        let middle = try entry(after: low, skipping: between / 2)
        if try isTrue(at: middle) { high = middle } else { low = middle }
      }
      if first { return try scan(after: from, to: high) }
      return Bisection(entry: high, before: low, isFirst: low == from, statesBuilt: statesBuilt)
    }

    /// Asks at each entry in turn, until it is answered yes; `last` is the one where it is, at the latest.
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

    /// The next entries that may change the answer, in order.
    private func entries(after low: Int64, before high: Int64) throws(OpsError) -> [Int64] {
      let left = archived.filter { $0 > low && $0 < high }
      if !left.isEmpty { return left }
      var parameters = Parameters()
      parameters.int8(low)
      parameters.int8(high)
      parameters.texts(rowTypes ?? RowType.allCases.map(\.rawValue))
      let rows = try entries.query(Self.nextEntries, parameters)
      return try onDatabase { () throws(PostgresError) in
        var found: [Int64] = []
        for row in 0..<rows.count { found.append(try rows.int8(row, 0)) }
        return found
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
      // More rows than one are counted, not kept.
      let live = try question.run(
        head: { (_) throws(OpsError) in },
        each: { row in if answers.count < 2 { answers.append(row[0] == "t") } })
      guard live.isEmpty else {
        throw OpsError(
          .badInput, "a function of the query reads \(live.joined(separator: ", ")) as it is now")
      }
      guard answers.count < 2 else {
        throw OpsError(.badInput, "the query gives more than one row at entry \(entry)")
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
        throw OpsError(.inconsistentRow, "entries after \(low) are gone from the log")
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
