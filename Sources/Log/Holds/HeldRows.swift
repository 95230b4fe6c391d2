import JSON
public import Ledger
public import Postgres

/// Which hold keeps which row. Retention, erasures and `archive restore` all use this, so that they agree.
///
/// It reads the log with its archived part, and not the tables. So a row is held as it was before a manual change, and
/// after it was archived.
public struct HeldRows: Sendable {
  /// The holds that were in force, the oldest first.
  fileprivate let holds: [Hold]
  fileprivate let open: [StreamID: ClosedRange<Instant>]
  /// By source: the rows with a copy of its agent events' content, and the missions of these rows.
  fileprivate let copies: [String: Set<StreamID>]

  /// - Returns: The oldest hold that keeps the row; nil if none does.
  public func hold(on row: StreamID) -> StreamID? { hold(onAnyOf: [row]) }

  public func hold(onAnyOf rows: some Sequence<StreamID>) -> StreamID? {
    holds.first { hold in
      rows.contains { row in
        hold.keeps(row, open: open[row]) { copies[$0]?.contains(row) ?? false }
      }
    }?.id
  }

  /// Selects the holds in force. Use it under ``Session/lockRetention``, which placing a hold takes too.
  public static let inForce = Statement(
    """
    SELECT \(Hold.select("h")) FROM ledger.holds AS h WHERE h.released_at IS NULL
    ORDER BY h.placed_at, h.id
    """)

  /// Whether the holds in force are still the same. If not, the caller reads everything again.
  public func isOf(_ inForce: [Hold]) -> Bool { inForce.map(\.id) == holds.map(\.id) }
}

extension Session {
  /// - Parameter rows: Missions, and other rows whose copies a hold on a source may keep.
  /// - Throws: `OPS_001` if a hold is on a source or a time, a part of the log is archived, and no store is available.
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

  /// The time in which each of these missions was open, from the first to the last moment.
  func openTimes(_ missions: Set<StreamID>) throws(OpsError) -> [StreamID: ClosedRange<Instant>] {
    var open: [StreamID: ClosedRange<Instant>] = [:]
    func add(_ mission: StreamID, _ first: Instant, _ last: Instant) {
      let past = open[mission] ?? first...last
      open[mission] = min(past.lowerBound, first)...max(past.upperBound, last)
    }
    let rows = try query(Self.openTimes, Parameters(missions))
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
  /// The moments at which the event shows that a mission was open; none if it is no mission's, or cannot be read.
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
