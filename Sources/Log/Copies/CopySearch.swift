import JSON
public import Ledger
public import Postgres

/// A row that holds a copy of the content that a search is about, or once held it.
public struct CopyHolder: Equatable, Sendable {
  public let stream: StreamID
  public let rowType: RowType
  /// Nil if all events of the row are archived.
  public let version: Int32?
  /// Whether the row has content that is not erased.
  public let isDue: Bool
}

/// Finds the rows that hold copies of other rows' content. It follows the ids in events until it finds no more rows: in
/// the database with `ledger.copies_of`, and in the archived part of the log.
public struct CopySearch {
  private let session: Session
  /// The rows that others were copied from, up to an agent event.
  private var roots: Set<StreamID> = []
  private var others: Set<StreamID> = []
  /// A source of agent events. The search includes all of its agent events.
  private var source: String?
  public private(set) var holders: [CopyHolder] = []
  private var archivedPart = ArchivedCopies()
  private var missionsHere: Set<StreamID> = []
  /// The missions of the rows that hold a copy. A mission itself need not hold one.
  public var missions: Set<StreamID> { missionsHere.union(archivedPart.missions) }
  public var rows: Set<StreamID> { missions.union(holders.map(\.stream)) }
  /// The commands of those rows' archived events.
  public var archivedKeys: Set<StreamID> { archivedPart.commands }

  /// The rows with a copy of one row, or of a row that it was copied from itself.
  public init(of row: StreamID, _ session: Session) {
    self.session = session
    roots = [row]
  }

  /// The agent events of a source, and the rows with a copy of one of them.
  public init(ofSource source: String, _ session: Session) {
    self.session = session
    self.source = source
  }

  public mutating func run() throws(OpsError) {
    if let source {
      others = Set(try session.query(Self.ofSource, Parameters(source)).ids())
    }
    let erased = try session.erasedEntries()
    while true {
      try take(session.query(Self.copies, parameters))
      let known = roots.count + others.count
      var (roots, others, found) = (roots, others, ArchivedCopies())
      let hasArchived = try session.eachArchived { (event) throws(OpsError) in
        if let source, event.hasSource(source) { others.insert(event.stream) }
        found.take(event, &roots, &others, erased)
      }
      guard hasArchived else { return }
      (self.roots, self.others, archivedPart) = (roots, others, found)
      if roots.count + others.count == known { break }
    }
    try take(session.query(Self.copies, parameters))
  }

  /// The query to run again under the locks; see ``isSame(_:)``.
  public var question: (Statement, Parameters) { (Self.copies, parameters) }

  /// Whether the query's answer has not changed since the search.
  public func isSame(_ rows: Rows) throws(OpsError) -> Bool {
    var other = self
    try other.take(rows)
    return other.holders == holders && other.missions == missions
  }

  private var parameters: Parameters {
    var parameters = Parameters()
    parameters.uuids(roots)
    parameters.uuids(others)
    return parameters
  }

  private static let copies = Statement(
    """
    SELECT stream, row_type, version, is_root, is_due, array_to_string(missions, ' ') AS missions
    FROM ledger.copies_of($1::uuid[], $2::uuid[])
    """)

  private static let ofSource = Statement("SELECT stream FROM ledger.said_by($1::text)")

  private mutating func take(_ rows: Rows) throws(OpsError) {
    holders = []
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        let stream = StreamID(try rows.uuid(row, 0))
        others.insert(stream)
        for mission in try rows.text(row, 5).split(separator: " ") {
          if let mission = StreamID(String(mission)) { missionsHere.insert(mission) }
        }
        if try rows.bool(row, 3) { roots.insert(stream) }
        let here = try rows.textIfPresent(row, 1).flatMap(RowType.init)
        guard let rowType = here ?? archivedPart.rowTypes[stream] else { continue }
        let isDue = try rows.bool(row, 4) || archivedPart.due.contains(stream)
        let version = here == nil ? nil : try rows.int4(row, 2)
        holders.append(CopyHolder(stream: stream, rowType: rowType, version: version, isDue: isDue))
      }
    }
  }
}

extension Session {
  /// The row type of a stream, also if its row or its events are archived.
  public func rowType(of stream: StreamID) throws(OpsError) -> RowType? {
    let known = try query(
      Statement(
        """
        SELECT split_part(e.type, '.', 1) FROM ledger.events_in_database AS e WHERE e.stream = $1::uuid
        UNION ALL SELECT t.row_type FROM ledger.tombstones AS t WHERE t.stream = $1::uuid LIMIT 1
        """), Parameters(stream)
    ).texts()
    if let rowType = known.first.flatMap({ RowType(rawValue: $0) }) { return rowType }
    var rowType: RowType?
    _ = try eachArchived { (event) throws(OpsError) in
      guard event.stream == stream else { return }
      rowType = RowType(ofType: String(decoding: event.type, as: UTF8.self))
    }
    return rowType
  }

  /// The streams that were erased up to an entry, each with the last entry that erased it.
  package func erasedEntries(upTo last: Int64 = .max) throws(OpsError) -> [StreamID: Int64] {
    let rows = try query(Self.erased, Parameters(last))
    let erased = try rows.map { (row) throws(PostgresError) in
      (StreamID(try rows.uuid(row, 0)), try rows.int8(row, 1))
    }
    return Dictionary(erased, uniquingKeysWith: max)
  }

  private static let erased = Statement(
    "SELECT x.stream, x.entry FROM ledger.confirmed_erasures() AS x WHERE x.entry <= $1::bigint")
}
