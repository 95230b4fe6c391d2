public import JSON

/// The six event types that every row type has. Only they carry columns: a manual change records what the row became,
/// and not what happened.
public enum CommonEvent<R: Row>: Sendable {
  /// A manual change inserted the row.
  case inserted([ColumnValue])
  /// A manual change updated the row.
  case amended([ColumnChange])
  case removed
  /// The retention rule archived the row. `segment` is the first file of the store that has its whole history. The
  /// dedupe key stays taken. `mission` is the mission that the row was archived with.
  case archived(segment: String, dedupeKey: String? = nil, mission: StreamID? = nil)
  /// An archived row is in the database again, unchanged.
  case restored([ColumnValue])
  /// The content of the row and of its events was erased.
  case erased(why: String?)

  public var kind: CommonKind {
    switch self {
    case .inserted: .inserted
    case .amended: .amended
    case .removed: .removed
    case .archived: .archived
    case .restored: .restored
    case .erased: .erased
    }
  }
}

/// The part of an event type's name after the row type.
public enum CommonKind: String, CaseIterable, Sendable {
  case inserted, amended, removed, archived, restored, erased
}

public struct ColumnValue: Sendable {
  public let column: String
  public let value: Value

  public init(_ column: String, _ value: Value) {
    self.column = column
    self.value = value
  }
}

public struct ColumnChange: Sendable {
  public let column: String
  public let from: Value
  public let to: Value

  public init(_ column: String, from: Value, to: Value) {
    self.column = column
    self.from = from
    self.to = to
  }
}

extension CommonEvent {
  /// The value that the event gave a column; nil if it has none for it.
  public func value(of column: String) -> Value? {
    switch self {
    case .inserted(let values), .restored(let values):
      values.first { $0.column == column }?.value
    case .amended(let changes): changes.first { $0.column == column }?.to
    case .removed, .archived, .erased: nil
    }
  }

  func apply(to row: inout R?, _ recorded: Recorded) {
    switch self {
    case .inserted(let values), .restored(let values):
      var fresh = R(blank: recorded.stream)
      for value in values { _ = R.column(named: value.column)?.set(&fresh, value.value) }
      row = fresh
    case .amended(let changes):
      guard var changed = row else { return }
      for change in changes { _ = R.column(named: change.column)?.set(&changed, change.to) }
      row = changed
    case .removed, .archived: row = nil
    case .erased: row?.eraseContent()
    }
  }
}

// MARK: - Payload

extension CommonEvent {
  /// Writes the payload. Columns of data are under `columns` or `changes` in data, and columns of content are under
  /// their names in content. A mixed column is in both: in data without its content, and in content whole.
  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .inserted(let values), .restored(let values):
      let (structure, written) = Self.split(values)
      data.raw(
        "columns", Self.object(structure) { Self.structure($0.column, $0.value).jsonText })
      for value in written where !value.value.isNull {
        content.raw(value.column, value.value.jsonText)
      }
    case .amended(let changes):
      let (structure, written) = Self.split(changes)
      data.raw("changes", Self.object(structure) { Self.pair(Self.structure($0)) })
      for change in written { content.raw(change.column, Self.pair(change)) }
    case .archived(let segment, let dedupeKey, let mission):
      data.string("segment", segment)
      if let dedupeKey { data.string("dedupe_key", dedupeKey) }
      if let mission { data.string("mission_id", mission.description) }
    case .erased(let why): if let why { content.string("why", why) }
    case .removed: break
    }
  }

  private static func split<Item>(
    _ items: [Item]
  ) -> (structure: [Item], content: [Item]) where Item: ColumnNamed {
    let part = { (item: Item) in R.column(named: item.column)?.part }
    return (items.filter { part($0) != .content }, items.filter { part($0) != .data })
  }

  private static func structure(_ name: String, _ value: Value) -> Value {
    guard let column = R.column(named: name), column.part == .mixed else { return value }
    return R.erased(value, of: column)
  }

  private static func structure(_ change: ColumnChange) -> ColumnChange {
    ColumnChange(
      change.column, from: structure(change.column, change.from),
      to: structure(change.column, change.to))
  }

  private static func object<Item>(_ items: [Item], _ text: (Item) -> String) -> String
  where Item: ColumnNamed {
    var writer = JSONObjectWriter()
    for item in items { writer.raw(item.column, text(item)) }
    return writer.finish()
  }

  private static func pair(_ change: ColumnChange) -> String {
    "[" + change.from.jsonText + ", " + change.to.jsonText + "]"
  }

  public init(_ kind: CommonKind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .inserted: self = .inserted(try Self.values(payload))
    case .restored: self = .restored(try Self.values(payload))
    case .amended: self = .amended(try Self.changes(payload))
    case .removed: self = .removed
    case .archived:
      self = .archived(
        segment: payload.optionalText("segment") ?? "",
        dedupeKey: payload.optionalText("dedupe_key"),
        mission: try payload.optionalID("mission_id"))
    case .erased: self = .erased(why: payload.optionalContentText("why"))
    }
  }

  private static func values(_ payload: Payload) throws(Unreadable) -> [ColumnValue] {
    var values: [ColumnValue] = []
    for (name, value) in try members(payload, "columns") {
      values.append(ColumnValue(name, try decode(value, for: try known(name))))
    }
    for (name, value) in try written(payload) {
      let column = try known(name)
      guard value != .null || column.part == .content else { continue }
      values.removeAll { $0.column == name }
      // JSON null is erased content, since SQL NULL is absent.
      let content = value == .null ? Erased.marker(of: column) : try decode(value, for: column)
      values.append(ColumnValue(name, content))
    }
    return values
  }

  private static func changes(_ payload: Payload) throws(Unreadable) -> [ColumnChange] {
    var changes: [ColumnChange] = []
    for (name, value) in try members(payload, "changes") {
      guard let change = try change(of: try known(name), value) else {
        throw Unreadable("the change of \(name) is not a pair")
      }
      changes.append(change)
    }
    for (name, value) in try written(payload) {
      let column = try known(name)
      if let change = try change(of: column, value) {
        changes.removeAll { $0.column == name }
        changes.append(change)
      } else if column.part == .content {
        let marker = Erased.marker(of: column)
        changes.append(ColumnChange(name, from: marker, to: marker))
      }
    }
    return changes
  }

  /// Nil for a value that is not a pair.
  private static func change(
    of column: Column<R>, _ value: JSON
  ) throws(Unreadable) -> ColumnChange? {
    guard let pair = value.arrayValue, pair.count == 2 else { return nil }
    return ColumnChange(
      column.name, from: try decode(pair[0], for: column), to: try decode(pair[1], for: column))
  }

  private static func known(_ name: String) throws(Unreadable) -> Column<R> {
    guard let column = R.column(named: name) else {
      throw Unreadable("\(R.table) has no ledger column \(name)")
    }
    return column
  }

  private static func members(
    _ payload: Payload, _ key: StaticString
  ) throws(Unreadable) -> [(String, JSON)] {
    guard let members = payload.data.json(key)?.asJSON.objectValue else {
      throw Unreadable("\(key) is not an object")
    }
    return members.sorted { $0.key < $1.key }
  }

  private static func written(_ payload: Payload) throws(Unreadable) -> [(String, JSON)] {
    var found: [(String, JSON)] = []
    for name in payload.content.names {
      guard let text = payload.content.json(named: name), let value = try? JSON(parsing: text)
      else { throw Unreadable("\(name) is not JSON") }
      found.append((name, value))
    }
    return found
  }

  private static func decode(_ value: JSON, for column: Column<R>) throws(Unreadable) -> Value {
    if value == .null { return .null }
    let decoded: Value? =
      switch column.type {
      case .int: value.intValue.flatMap(Int32.init(exactly:)).map(Value.int)
      case .text, .label: value.stringValue.map(Value.text)
      case .uuid: value.idValue.map(Value.uuid)
      case .time: value.stringValue.flatMap(moment).map(Value.time)
      case .json: .json(WrappedJSON.unwrap(value.text))
      case .ints:
        value.arrayValue.flatMap { elements in
          let numbers = elements.compactMap { $0.intValue.flatMap(Int32.init(exactly:)) }
          return numbers.count == elements.count ? .ints(numbers) : nil
        }
      }
    guard let decoded else {
      throw Unreadable("the value of \(column.name) has another type than the column")
    }
    return decoded
  }
}

/// A manual change can write PostgreSQL's infinities, which RFC 3339 does not have.
private func moment(_ text: String) -> Instant? {
  switch text {
  case "infinity": Instant(micros: .max)
  case "-infinity": Instant(micros: .min)
  default: Instant(text)
  }
}

protocol ColumnNamed {
  var column: String { get }
}
extension ColumnValue: ColumnNamed {}
extension ColumnChange: ColumnNamed {}
