public import JSON

/// The ledger's own row, with its identity. Its stream is the UUIDv5 of `ledger:main`.
public struct LedgerRecord: Sendable {
  public var key: String
  /// The identity of this history. A copy has the same one, and a fork gets a new one.
  public var identity: StreamID
  public var title: String
  public var version: Int32 = 0
  public var createdAt: Instant
  public var updatedAt: Instant

  public init(blank stream: StreamID) {
    key = "main"
    identity = stream
    title = ""
    createdAt = Instant(micros: 0)
    updatedAt = Instant(micros: 0)
  }

  public enum Event: Equatable, Sendable {
    case created(identity: StreamID, name: String)
    /// A schema file was applied.
    case migrated(file: String, sha256: String)
    case rebuilt(report: String)
    /// The database is in another cluster than before.
    case moved(report: String, why: String? = nil)
    case restored(report: String, why: String? = nil)
    /// The ledger continues in a new store, as a history with this identity.
    case forked(identity: StreamID?, report: String, why: String? = nil)
    case signingKeyChanged(report: String)
    case drilled(report: String)
  }
}

extension LedgerRecord: Row {
  public static let name = RowType.ledger
  public static let table = "ledger.ledger"
  public static var drafted: any DraftPath<LedgerRecord> { \.ledger }
  public static let columns: [Column<LedgerRecord>] = [
    .text("key", \.key),
    .uuid("identity", \.identity),
    .text("name", \.title),
    .int("version", \.version),
    .time("created_at", \.createdAt),
    .time("updated_at", \.updatedAt),
  ]

  public static func evolve(_ row: inout LedgerRecord?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .created(let identity, let name):
      var fresh = LedgerRecord(blank: recorded.stream)
      fresh.identity = identity
      fresh.title = name
      fresh.createdAt = recorded.at
      row = fresh
    case .forked(let identity?, _, _): row?.identity = identity
    case .migrated, .rebuilt, .moved, .restored, .forked, .signingKeyChanged, .drilled: break
    }
    if let updated = row?.updatedAt { row?.updatedAt = max(updated, recorded.at) }
  }
}

extension LedgerRecord.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable {
    case created, migrated, rebuilt, moved, restored, forked, drilled
    case signingKeyChanged = "signing_key_changed"
  }

  public var kind: Kind {
    switch self {
    case .created: .created
    case .migrated: .migrated
    case .rebuilt: .rebuilt
    case .moved: .moved
    case .restored: .restored
    case .forked: .forked
    case .signingKeyChanged: .signingKeyChanged
    case .drilled: .drilled
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .created(let identity, let name):
      data.string("identity", identity.description)
      data.string("name", name)
    case .migrated(let file, let sha256):
      data.string("file", file)
      data.string("sha256", sha256)
    case .rebuilt(let report), .signingKeyChanged(let report), .drilled(let report):
      data.raw("report", WrappedJSON.wrap(report))
    case .moved(let report, let why), .restored(let report, let why):
      data.raw("report", WrappedJSON.wrap(report))
      if let why { content.string("why", why) }
    case .forked(let identity, let report, let why):
      if let identity { data.string("identity", identity.description) }
      data.raw("report", WrappedJSON.wrap(report))
      if let why { content.string("why", why) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .created:
      self = .created(identity: try payload.id("identity"), name: try payload.text("name"))
    case .migrated:
      self = .migrated(file: try payload.text("file"), sha256: try payload.text("sha256"))
    case .rebuilt: self = .rebuilt(report: try payload.json("report"))
    case .moved:
      self = .moved(report: try payload.json("report"), why: payload.optionalContentText("why"))
    case .restored:
      self = .restored(report: try payload.json("report"), why: payload.optionalContentText("why"))
    case .forked:
      self = .forked(
        identity: try payload.optionalID("identity"), report: try payload.json("report"),
        why: payload.optionalContentText("why"))
    case .signingKeyChanged: self = .signingKeyChanged(report: try payload.json("report"))
    case .drilled: self = .drilled(report: try payload.json("report"))
    }
  }
}
