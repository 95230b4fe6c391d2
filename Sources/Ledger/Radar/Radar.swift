public import JSON

/// An opportunity that agents watch: a row of `ops_demand_radar`.
public struct Radar: Sendable {
  public enum Stage: String, CaseIterable, Sendable {
    case watching, validating, building, shipped
  }

  public var id: StreamID
  public var title: String
  public var description: String?
  public var stage: Stage = .watching
  public var notes: String?
  public var createdAt: Instant
  public var updatedAt: Instant
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    title = ""
    createdAt = Instant(micros: 0)
    updatedAt = Instant(micros: 0)
  }

  /// The fields of a radar item. In an update, a field that is nil does not change.
  public struct Fields: Equatable, Sendable {
    public var stage: Stage?
    public var title: String?
    public var description: String?
    public var notes: String?

    public init(
      stage: Stage? = nil, title: String? = nil, description: String? = nil, notes: String? = nil
    ) {
      self.stage = stage
      self.title = title
      self.description = description
      self.notes = notes
    }
  }

  public enum Event: Equatable, Sendable {
    case added(Fields)
    case updated(Fields)
  }
}

extension Radar: Row {
  public static let name = RowType.radar
  public static let table = "ops_demand_radar"
  public static var drafted: any DraftPath<Radar> { \.radar }
  public static let columns: [Column<Radar>] = [
    .uuid("id", \.id),
    .text("title", \.title, .content),
    .text("description", \.description, .content),
    .label("stage", \.stage),
    .text("notes", \.notes, .content),
    .time("created_at", \.createdAt),
    .time("updated_at", \.updatedAt),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout Radar?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .added(let fields):
      var fresh = Radar(blank: recorded.stream)
      fresh.createdAt = recorded.at
      fresh.updatedAt = recorded.at
      fresh.take(fields)
      row = fresh
    case .updated(let fields):
      row?.take(fields)
      if let updated = row?.updatedAt { row?.updatedAt = max(updated, recorded.at) }
    }
  }

  private mutating func take(_ fields: Fields) {
    if let stage = fields.stage { self.stage = stage }
    if let title = fields.title { self.title = title }
    if let description = fields.description { self.description = description }
    if let notes = fields.notes { self.notes = notes }
  }
}

extension Radar.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable { case added, updated }

  public var kind: Kind {
    switch self {
    case .added: .added
    case .updated: .updated
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .added(let fields), .updated(let fields):
      if let stage = fields.stage { data.string("stage", stage.rawValue) }
      if let title = fields.title { content.string("title", title) }
      if let description = fields.description { content.string("description", description) }
      if let notes = fields.notes { content.string("notes", notes) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    let fields = Radar.Fields(
      stage: payload.data.kind("stage") == .absent
        ? nil : try payload.label("stage", as: Radar.Stage.self),
      title: payload.hasContent("title") ? try payload.contentText("title") : nil,
      description: payload.optionalContentText("description"),
      notes: payload.optionalContentText("notes"))
    switch kind {
    case .added: self = .added(fields)
    case .updated: self = .updated(fields)
    }
  }
}
