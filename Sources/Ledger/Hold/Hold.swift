public import JSON

/// A row of `ledger.holds`: until it is released, retention archives none of the missions that it covers, and no erasure
/// touches a row of theirs.
public struct Hold: Sendable {
  public var id: StreamID
  /// Which missions; a row that a hand made may name several of these, or none.
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

  /// What a hold covers.
  public enum Scope: Equatable, Sendable {
    /// One mission.
    case mission(StreamID)
    /// Missions that hold a copy of what an agent event of this source said: it led to them, through however many
    /// reactions, it is about them, or one of their steps listed what came of it.
    case source(String)
    /// Missions that were open at any moment of this time, both ends included.
    case time(from: Instant, until: Instant)
  }

  public enum Event: Equatable, Sendable {
    case placed(Scope, by: String, why: String?)
    case released(by: String, why: String?)
  }

  public var isReleased: Bool { releasedAt != nil }

  /// Whether this hold, while it is in force, keeps a row. Nothing else decides that.
  ///
  /// - Parameters:
  ///   - open: When it was open, if it is a mission.
  ///   - hasCopy: Whether it, or a row of the mission that it is, has a copy of what a source's agent events said.
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
  /// The moments at which an event shows a mission to have been open. It was open from the first of them to the last.
  ///
  /// What the archive and erasures record of a mission does not count, nor does a change by hand of another column.
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

  /// A row that a hand put in says itself when it was open.
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
  public static var drafted: any WritableKeyPath<Draft, DraftTable<Hold>> & Sendable { \.holds }
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
