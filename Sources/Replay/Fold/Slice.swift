import Ledger
import Log
import Postgres

/// A part of all streams, small enough to be folded in memory.
enum Slice: Sendable {
  /// The streams from the first id up to, but not including, the second. Nil means no bound.
  case range(from: StreamID?, to: StreamID?)
  /// The streams whose hash has this remainder.
  case hash(remainder: Int, of: Int)
  case streams([StreamID])
  /// The streams that have events among these entries and whose hash has this remainder.
  case changed(in: ClosedRange<Int64>, remainder: Int, of: Int)
  /// The streams of another slice that have one of these row types.
  indirect case rowTypes([RowType], Slice)

  static let all = Slice.range(from: nil, to: nil)

  /// The SQL condition on an expression that gives a row's stream.
  func predicate(on stream: String) -> String {
    switch self {
    case .range(let first, let end):
      [first.map { "\(stream) >= '\($0)'::uuid" }, end.map { "\(stream) < '\($0)'::uuid" }]
        .compactMap { $0 }.reduce("true") { $0 + " AND " + $1 }
    case .hash(_, 1): "true"
    case .hash(let remainder, let count):
      "(uuid_hash(\(stream)) & 1073741823) % \(count) = \(remainder)"
    case .streams(let streams):
      "\(stream) = ANY ('{\(streams.map(\.description).joined(separator: ","))}'::uuid[])"
    case .changed(let entries, let remainder, let count):
      Slice.hash(remainder: remainder, of: count).predicate(on: stream)
        + " AND \(stream) IN (SELECT changed.stream FROM ledger.events AS changed WHERE"
        + " changed.entry BETWEEN \(entries.lowerBound) AND \(entries.upperBound))"
    case .rowTypes(_, let slice): slice.predicate(on: stream)
    }
  }

  /// The part of the slice with these row types.
  func only(_ rowTypes: Set<RowType>) -> Slice {
    rowTypes.count == RowType.allCases.count
      ? self : .rowTypes(RowType.allCases.filter(rowTypes.contains), self)
  }

  /// The SQL condition on an event of the slice.
  func condition(_ entries: ClosedRange<Int64>?) -> String {
    let bounds = entries.map { " AND entry BETWEEN \($0.lowerBound) AND \($0.upperBound)" } ?? ""
    var types = ""
    if case .rowTypes(let rowTypes, _) = self {
      // The operator for "begins with": under a collation, LIKE would not compare bytes.
      let names = rowTypes.map { "type ^@ '\($0.rawValue).'" } + ["false"]
      types = " AND (\(names.joined(separator: " OR ")))"
    }
    return predicate(on: "stream") + types + bounds
  }

  /// Whether an event of this type is of the slice's row types.
  func holds(type: UnsafeRawBufferPointer) -> Bool {
    guard case .rowTypes(let rowTypes, _) = self else { return true }
    return rowTypes.contains { rowType in
      let name = rowType.rawValue.utf8
      return type.count > name.count && type[name.count] == UInt8(ascii: ".")
        && type.starts(with: name)
    }
  }

  /// Whether the query joins the log with itself. Before the first ANALYZE, the planner takes a nested loop over all
  /// pairs of events for cheap; the reader must forbid it.
  var isJoin: Bool {
    switch self {
    case .changed: true
    case .rowTypes(_, let slice): slice.isJoin
    case .range, .hash, .streams: false
    }
  }

  /// The COPY of the slice's events, as ``Fold`` reads them.
  func events(_ entries: ClosedRange<Int64>?) -> String {
    "COPY (SELECT \(Fold.columns) FROM ledger.events WHERE \(condition(entries))) "
      + "TO STDOUT (FORMAT binary)"
  }

  /// The slice's streams, for a reader of archived events.
  ///
  /// ``changed(in:remainder:of:)`` must name entries that are in the database; see ``LogReader/archivedLast``.
  func archivedStreams(_ log: LogReader) throws(OpsError) -> ArchivedQuery.Streams {
    switch self {
    case .range(nil, nil), .hash(_, 1): return .all
    case .range(let first, let end): return .range(from: first, to: end)
    case .hash(let remainder, let count):
      return .hash(remainder: UInt32(remainder), of: UInt32(count))
    case .streams(let streams): return .these(Set(streams))
    case .changed:
      let streams = try log.query(
        Statement(
          "SELECT DISTINCT e.stream FROM ledger.events AS e WHERE \(predicate(on: "e.stream"))"))
      return .these(Set(try streams.ids()))
    case .rowTypes(_, let slice): return try slice.archivedStreams(log)
    }
  }

  /// The COPY of the slice's live rows.
  func rows<R: Row>(of rowType: R.Type) -> String {
    "COPY (SELECT \(R.text.selectList) FROM \(R.relation) WHERE \(predicate(on: R.streamSQL))) "
      + "TO STDOUT (FORMAT binary)"
  }
}
