public import JSON

/// One policy: a row of `ops_policy`. Its stream is the UUIDv5 of `policy:<key>`.
public struct Policy: Sendable {
  public var key: String
  public var value: String
  public var version: Int32 = 1
  public var updatedAt: Instant

  public init(blank stream: StreamID) {
    key = ""
    value = "{}"
    updatedAt = Instant(micros: 0)
  }

  public enum Event: Equatable, Sendable {
    /// `rollbackTo` is the version that a rollback restores.
    case set(key: String, value: String, rollbackTo: Int32?, why: String?)
  }
}

extension Policy: Row {
  public static let name = RowType.policy
  public static let table = "ops_policy"
  public static var drafted: any DraftPath<Policy> { \.policies }
  public static let columns: [Column<Policy>] = [
    .text("key", \.key),
    .json("value", \.value, .data),
    .int("version", \.version),
    .time("updated_at", \.updatedAt),
  ]

  public static func evolve(_ row: inout Policy?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .set(let key, let value, _, _):
      var policy = row ?? Policy(blank: recorded.stream)
      policy.key = key
      policy.value = value
      policy.updatedAt = max(policy.updatedAt, recorded.at)
      row = policy
    }
  }
}

extension Policy.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable { case set }

  public var kind: Kind { .set }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .set(let key, let value, let rollbackTo, let why):
      data.string("key", key)
      data.raw("value", WrappedJSON.wrap(value))
      if let rollbackTo { data.int("rollback_to", rollbackTo) }
      if let why { content.string("why", why) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .set:
      self = .set(
        key: try payload.text("key"), value: try payload.json("value"),
        rollbackTo: try payload.optionalInt("rollback_to"),
        why: payload.optionalContentText("why"))
    }
  }
}
