import Ledger
import Log
import Postgres

/// A part of all streams, small enough to be folded in memory: the events of these streams, and the
/// rows that are theirs.
enum Slice: Sendable {
  /// The streams from one on, up to another and without it; nil: without an end.
  case range(from: StreamID?, to: StreamID?)
  /// The streams whose hash leaves this remainder.
  case hash(remainder: Int, of: Int)
  case streams([StreamID])
  /// Of the streams that have events among these entries, those whose hash leaves this remainder.
  case changed(in: ClosedRange<Int64>, remainder: Int, of: Int)
  /// Of another slice, the streams of these nouns.
  indirect case rowTypes([RowType], Slice)

  /// The condition on an expression that gives a row's stream.
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

  /// Only these nouns of it, where they are not all.
  func only(_ rowTypes: Set<RowType>) -> Slice {
    rowTypes.count == RowType.allCases.count
      ? self : .rowTypes(RowType.allCases.filter(rowTypes.contains), self)
  }

  /// The condition on an event of the slice, among these entries or at all.
  func condition(_ entries: ClosedRange<Int64>? = nil) -> String {
    let bounds = entries.map { " AND entry BETWEEN \($0.lowerBound) AND \($0.upperBound)" } ?? ""
    return "\(predicate(on: "stream"))\(typeCondition)\(bounds)"
  }

  /// Whether an event of this type is of its nouns.
  func holds(type: UnsafeRawBufferPointer) -> Bool {
    guard case .rowTypes(let rowTypes, _) = self else { return true }
    return rowTypes.contains { rowType in
      let name = rowType.rawValue.utf8
      return type.count > name.count && type[name.count] == UInt8(ascii: ".")
        && type.starts(with: name)
    }
  }

  private var typeCondition: String {
    guard case .rowTypes(let rowTypes, _) = self else { return "" }
    return " AND " + Self.typePredicate(rowTypes)
  }

  /// The condition on an event's type.
  static func typePredicate(_ rowTypes: [RowType]) -> String {
    // Begins with: an operator of its own, since a collation would not let LIKE compare bytes.
    "(" + (rowTypes.map { "type ^@ '\($0.rawValue).'" } + ["false"]).joined(separator: " OR ") + ")"
  }

  /// Whether it joins the log with itself. The planner must not do that in a loop, of all with all, which it
  /// takes for cheap before the first ANALYZE.
  var isJoin: Bool {
    switch self {
    case .changed: true
    case .rowTypes(_, let slice): slice.isJoin
    case .range, .hash, .streams: false
    }
  }

  /// The events of the slice among these entries, or all of them, as ``Fold`` reads them.
  func events(_ entries: ClosedRange<Int64>? = nil) -> String {
    "COPY (SELECT \(Fold.columns) FROM ledger.events WHERE \(condition(entries))) "
      + "TO STDOUT (FORMAT binary)"
  }

  /// Its streams, for a reader of what has left the database.
  ///
  /// Streams that changed must have done so in what the database holds; see ``LogReader/archivedLast``.
  func archivedStreams(_ log: LogReader) throws(OpsError) -> ArchivedQuery.Streams {
    switch self {
    case .range(nil, nil), .hash(_, 1): return .all
    case .range(let first, let end): return .range(from: first, to: end)
    case .hash(let remainder, let count):
      return .hash(remainder: UInt32(remainder), of: UInt32(count))
    case .streams(let streams): return .these(Set(streams))
    case .changed:
      let rows = try onDatabase { () throws(PostgresError) in
        try log.connection.query(
          Statement(
            "SELECT DISTINCT e.stream FROM ledger.events AS e WHERE \(predicate(on: "e.stream"))"))
      }
      return .these(Set(try rows.ids()))
    case .rowTypes(_, let slice): return try slice.archivedStreams(log)
    }
  }

  /// The live rows of the slice.
  func rows<R: Row>(of rowType: R.Type) -> String {
    "COPY (SELECT \(R.text.selectList) FROM \(R.relation) WHERE \(predicate(on: R.streamSQL))) "
      + "TO STDOUT (FORMAT binary)"
  }
}
