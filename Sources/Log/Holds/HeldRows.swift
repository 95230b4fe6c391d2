import JSON
public import Ledger
public import Postgres

/// Which hold keeps which row. Retention, erasures and `archive restore` all ask this, so that they agree.
///
/// The log is asked, with the part of it that has left, and not the tables: a row that a hand changed, or that has left,
/// is held as it was before.
public struct HeldRows: Sendable {
  /// The holds in force when it was asked, the oldest first.
  fileprivate let holds: [Hold]
  /// When each mission was open.
  fileprivate let open: [StreamID: ClosedRange<Instant>]
  /// By source, the rows with a copy of what its agent events said, and the missions of these rows.
  fileprivate let copies: [String: Set<StreamID>]

  /// - Returns: The oldest hold that keeps the row; nil where none does.
  public func hold(on row: StreamID) -> StreamID? { hold(onAnyOf: [row]) }

  public func hold(onAnyOf rows: some Sequence<StreamID>) -> StreamID? {
    holds.first { hold in
      rows.contains { row in
        hold.keeps(row, open: open[row]) { copies[$0]?.contains(row) ?? false }
      }
    }?.id
  }

  /// Asks under the row lock that placing a hold takes, too, which holds are in force.
  public static let inForce = Statement(
    """
    SELECT \(Hold.select("h")) FROM ledger.holds AS h WHERE h.released_at IS NULL
    ORDER BY h.placed_at, h.id
    """)

  /// Whether these are still the holds in force: else all is asked again.
  public func isOf(_ inForce: [Hold]) -> Bool { inForce.map(\.id) == holds.map(\.id) }
}

extension Session {
  /// - Parameter rows: Missions, and other rows whose copies a hold on a source may keep.
  /// - Throws: `OPS_001` where a hold is on a source or a time, a part of the log has left the database, and no store is
  ///   at hand.
  public func heldRows(_ rows: Set<StreamID>) throws(OpsError) -> HeldRows {
    let holds = try query(HeldRows.inForce).rows(of: Hold.self)
    var copies: [String: Set<StreamID>] = [:]
    for source in Set(holds.compactMap(\.source)) {
      var search = CopySearch(ofSource: source, self)
      try search.run()
      copies[source] = search.rows.intersection(rows)
    }
    let isOpenAsked = holds.contains { $0.fromTime != nil } && !rows.isEmpty
    return HeldRows(holds: holds, open: isOpenAsked ? try openTimes(rows) : [:], copies: copies)
  }

  /// From when until when each of these missions was open.
  func openTimes(_ missions: Set<StreamID>) throws(OpsError) -> [StreamID: ClosedRange<Instant>] {
    var open: [StreamID: ClosedRange<Instant>] = [:]
    func add(_ mission: StreamID, _ first: Instant, _ last: Instant) {
      let past = open[mission] ?? first...last
      open[mission] = min(past.lowerBound, first)...max(past.upperBound, last)
    }
    var parameters = Parameters()
    parameters.uuids(missions)
    let rows = try query(Self.openTimes, parameters)
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        add(
          StreamID(try rows.uuid(row, 0)), Instant(micros: try rows.timestamptz(row, 1)),
          Instant(micros: try rows.timestamptz(row, 2)))
      }
    }
    _ = try eachArchived { (event) throws(OpsError) in
      guard missions.contains(event.stream) else { return }
      for moment in event.openMoments { add(event.stream, moment, moment) }
    }
    return open
  }

  private static let openTimes = Statement(
    "SELECT mission, began, ended FROM ledger.open_times($1::uuid[])")
}

extension EventLine {
  /// The moments at which it shows a mission to have been open; none where it is no mission's, or cannot be read.
  fileprivate var openMoments: [Instant] {
    guard case .mission(let kind) = EventType(String(decoding: type, as: UTF8.self)) else {
      return []
    }
    let reader = JSONReader()
    return withExtendedLifetime(reader) {
      let payload = Payload(data: reader.fields(data) ?? .none, content: .none)
      guard let event = try? StreamEvent<Mission>(kind, from: payload) else { return [] }
      return Mission.openMoments(event, at: recordedAt)
    }
  }
}
