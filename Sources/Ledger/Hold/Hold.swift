public import JSON

/// A row of `ledger.holds`. Until its release, retention does not archive the missions that it covers, and erasures do
/// not change their rows.
public struct Hold: Sendable {
  public var id: StreamID
  /// The scope. A row that a manual change inserted may have several of these columns, or none.
  public var missionID: StreamID?
  public var source: String?
  public var fromTime: Instant?
  public var untilTime: Instant?
  public var why: String?
  public var placedBy: String
  public var placedAt: Instant
  public var releasedAt: Instant?
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    placedBy = ""
    placedAt = Instant(micros: 0)
  }

  public enum Scope: Equatable, Sendable {
    case mission(StreamID)
    /// Missions with a copy of content of this source's agent events: an agent event led to them through any number of
    /// reactions, is about them, or one of their steps listed a result of it.
    case source(String)
    /// Missions that were open at a moment of this time, which includes both ends.
    case time(from: Instant, until: Instant)
  }

  public enum Event: Equatable, Sendable {
    case placed(Scope, by: String, why: String?)
    case released(by: String, why: String?)
  }

  public var isReleased: Bool { releasedAt != nil }

  /// Whether this hold keeps a row until its release. This is the only place that decides it.
  ///
  /// - Parameters:
  ///   - open: The time in which the row was open, if it is a mission.
  ///   - hasCopy: Whether the row, or a row of the mission, has a copy of content of a source's agent events.
  public func keeps(
    _ row: StreamID, open: ClosedRange<Instant>?, hasCopy: (_ ofSource: String) -> Bool
  ) -> Bool {
    if row == missionID { return true }
    if let open, let fromTime, let untilTime, open.lowerBound <= untilTime,
      fromTime <= open.upperBound
    {
      return true
    }
    return source.map(hasCopy) ?? false
  }
}

extension Mission {
  /// The moments at which a mission was open, as an event shows. It was open from the first to the last of them.
  ///
  /// Events of the archive and of erasures do not count. A manual change counts only if it changed one of the columns
  /// below.
  public static func openMoments(
    _ event: StreamEvent<Mission>, at recorded: Instant
  ) -> [Instant] {
    switch event {
    case .own(let event):
      switch event {
      case .created, .started, .succeeded, .failed, .reopened: [recorded]
      }
    case .common(let event):
      switch event {
      case .inserted(let values): openMoments(of: values, insertedAt: recorded)
      case .amended(let changes): changes.flatMap { openMoments(of: $0, at: recorded) }
      case .removed: [recorded]
      case .archived, .restored, .erased: []
      }
    }
  }

  /// A row that a manual change inserted has the times at which it was open.
  private static func openMoments(
    of values: [ColumnValue], insertedAt recorded: Instant
  ) -> [Instant] {
    var row: Mission?
    let inserted = Recorded(stream: StreamID(high: 0, low: 0), version: 1, at: recorded)
    evolve(&row, .common(.inserted(values)), inserted)
    guard let row else { return [] }
    return [row.createdAt, row.completedAt ?? row.updatedAt] + (row.isOpen ? [recorded] : [])
  }

  private static func openMoments(of change: ColumnChange, at recorded: Instant) -> [Instant] {
    switch change.column {
    case "status": [recorded]
    case "created_at", "completed_at":
      [change.from, change.to].compactMap { if case .time(let time) = $0 { time } else { nil } }
    default: []
    }
  }
}

extension Hold: Row {
  public static let name = RowType.hold
  public static let table = "ledger.holds"
  public static var drafted: any DraftPath<Hold> { \.holds }
  public static let columns: [Column<Hold>] = [
    .uuid("id", \.id),
    .uuid("mission_id", \.missionID),
    .text("source", \.source),
    .time("from_time", \.fromTime),
    .time("until_time", \.untilTime),
    .text("why", \.why, .content),
    .text("placed_by", \.placedBy),
    .time("placed_at", \.placedAt),
    .time("released_at", \.releasedAt),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout Hold?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .placed(let scope, let by, let why):
      var fresh = Hold(blank: recorded.stream)
      switch scope {
      case .mission(let id): fresh.missionID = id
      case .source(let source): fresh.source = source
      case .time(let from, let until): (fresh.fromTime, fresh.untilTime) = (from, until)
      }
      fresh.why = why
      fresh.placedBy = by
      fresh.placedAt = recorded.at
      row = fresh
    case .released: row?.releasedAt = recorded.at
    }
  }
}

extension Hold.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable { case placed, released }

  public var kind: Kind {
    switch self {
    case .placed: .placed
    case .released: .released
    }
  }

  public static func isRead(_ kind: Kind) -> Bool { kind == .placed }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .placed(let scope, let by, let why):
      switch scope {
      case .mission(let id): data.string("mission_id", id.description)
      case .source(let source): data.string("source", source)
      case .time(let from, let until):
        data.string("from_time", from.description)
        data.string("until_time", until.description)
      }
      data.string("by", by)
      if let why { content.string("why", why) }
    case .released(let by, let why):
      data.string("by", by)
      if let why { content.string("why", why) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .placed:
      self = .placed(
        try Self.scope(payload), by: try payload.text("by"),
        why: payload.optionalContentText("why"))
    case .released:
      self = .released(
        by: payload.optionalText("by") ?? "", why: payload.optionalContentText("why"))
    }
  }

  private static func scope(_ payload: Payload) throws(Unreadable) -> Hold.Scope {
    if let mission = try payload.optionalID("mission_id") { return .mission(mission) }
    if let source = payload.optionalText("source") { return .source(source) }
    return .time(from: try payload.time("from_time"), until: try payload.time("until_time"))
  }
}
