import JSON
public import Ledger
public import Postgres

/// A row that holds a copy of what a search is about, or held it.
public struct CopyHolder: Equatable, Sendable {
  public let stream: StreamID
  public let rowType: RowType
  /// Nil where all of its events are in the store only.
  public let version: Int32?
  /// Whether it has content that no erasure was about.
  public let isDue: Bool
}

/// Finds the rows that hold copies of other rows' content. It follows the names that events carry, in the database by
/// `ledger.copies_of` and beside it in the part of the log that has left, until it finds nothing more.
public struct CopySearch {
  private let session: Session
  /// What others came of, up to an agent event.
  private var roots: Set<StreamID> = []
  private var others: Set<StreamID> = []
  /// A source of agent events, all of which are searched for too.
  private var source: String?
  public private(set) var holders: [CopyHolder] = []
  private var archivedPart = ArchivedCopies()
  private var missionsHere: Set<StreamID> = []
  /// The missions of the rows that hold a copy, also where the missions themselves hold none.
  public var missions: Set<StreamID> { missionsHere.union(archivedPart.missions) }
  /// All of these rows.
  public var rows: Set<StreamID> { missions.union(holders.map(\.stream)) }
  /// The commands of those rows' events that have left the database.
  public var archivedKeys: Set<StreamID> { archivedPart.commands }

  /// The rows with a copy of one row, and of what that row itself was copied from.
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
      var parameters = Parameters()
      parameters.text(source)
      others = Set(try session.query(Self.ofSource, parameters).ids())
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

  /// What is asked again under the locks: the answer must be the same.
  public var question: (Statement, Parameters) { (Self.copies, parameters) }

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
  /// The noun of a stream, also of one whose row or events have left.
  public func rowType(of stream: StreamID) throws(OpsError) -> RowType? {
    var parameters = Parameters()
    parameters.uuid(stream)
    let rows = try query(
      Statement(
        """
        SELECT split_part(e.type, '.', 1) FROM ledger.events_in_database AS e WHERE e.stream = $1::uuid
        UNION ALL SELECT t.row_type FROM ledger.tombstones AS t WHERE t.stream = $1::uuid LIMIT 1
        """), parameters)
    if let rowType = try onDatabase({ () throws(PostgresError) in
      rows.count == 0 ? nil : RowType(rawValue: try rows.text(0, 0))
    }) {
      return rowType
    }
    var rowType: RowType?
    _ = try eachArchived { (event) throws(OpsError) in
      guard event.stream == stream else { return }
      rowType = RowType(ofType: String(decoding: event.type, as: UTF8.self))
    }
    return rowType
  }

  /// The streams that were erased up to an entry, with the entry that erased each last.
  package func erasedEntries(
    upTo last: Int64 = .max
  ) throws(OpsError) -> [StreamID: Int64] {
    var parameters = Parameters()
    parameters.int8(last)
    let rows = try query(Self.erased, parameters)
    return try onDatabase { () throws(PostgresError) in
      var entries: [StreamID: Int64] = [:]
      for row in 0..<rows.count {
        entries[StreamID(try rows.uuid(row, 0))] = try rows.int8(row, 1)
      }
      return entries
    }
  }
  private static let erased = Statement(
    "SELECT x.stream, x.entry FROM ledger.confirmed_erasures() AS x WHERE x.entry <= $1::bigint")
}
