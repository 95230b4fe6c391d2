import JSON

/// One column's value. SQL NULL is `null`; JSON null is `json("null")`.
public enum Value: Sendable {
  case null
  case int(Int32)
  case text(String)
  case uuid(StreamID)
  case time(Instant)
  /// A `jsonb` column, as the text that PostgreSQL prints for it.
  case json(String)
  case ints([Int32])
}

extension Value {
  public var isNull: Bool {
    if case .null = self { true } else { false }
  }

  /// As a person reads it in a list of differences; SQL NULL is nil.
  public var printed: String? {
    switch self {
    case .null: nil
    case .int(let value): String(value)
    case .text(let value): value
    case .uuid(let value): value.description
    case .time(let value): value.description
    case .json(let value): value
    case .ints(let values): "{" + values.map(String.init).joined(separator: ",") + "}"
    }
  }

  /// As the payload of an event has it; `null` is SQL NULL, and JSON null is wrapped.
  public var jsonText: String {
    switch self {
    case .null: "null"
    case .int(let number): String(number)
    case .text(let text): JSON.string(text).text
    case .uuid(let id): JSON.string(id.description).text
    case .time(let instant): JSON.string(instant.description).text
    case .json(let text): WrappedJSON.wrap(text)
    case .ints(let numbers): JSON.array(numbers.map(JSON.int)).text
    }
  }

  /// The text of a text or label column.
  public var textValue: String? {
    if case .text(let text) = self { text } else { nil }
  }

  public var idValue: StreamID? {
    if case .uuid(let id) = self { id } else { nil }
  }

  /// The text of a json column.
  public var jsonValue: String? {
    if case .json(let text) = self { text } else { nil }
  }

  /// Equality of images: by bytes, where Swift's strings would call two spellings of one character
  /// equal.
  public func same(as other: Value) -> Bool {
    switch (self, other) {
    case (.null, .null): true
    case (.int(let a), .int(let b)): a == b
    case (.text(let a), .text(let b)), (.json(let a), .json(let b)):
      a.utf8.elementsEqual(b.utf8)
    case (.uuid(let a), .uuid(let b)): a == b
    case (.time(let a), .time(let b)): a == b
    case (.ints(let a), .ints(let b)): a == b
    case (.null, _), (.int, _), (.text, _), (.uuid, _), (.time, _), (.json, _), (.ints, _): false
    }
  }
}

/// The PostgreSQL type of a ledger column.
public enum ColumnType: Equatable, Sendable {
  case int
  case text
  case uuid
  case time
  case json
  case ints
  /// One of the origin's enum types, by its name.
  case label(String)
}

/// Which part of an event's payload holds a column: structure stays for ever, content can be erased.
public enum Part: Equatable, Sendable {
  case data
  case content
  /// A json column of which some fields are content; `docs/events.md` lists them.
  case mixed
}

/// One ledger column of a row type: its name, its type, and how to reach it in the row.
public struct Column<Row>: Sendable {
  public let name: String
  public let type: ColumnType
  public let part: Part
  public let isNullable: Bool
  /// Reads the column from the row at this address.
  let load: @Sendable (UnsafeRawPointer) -> Value
  /// Sets the column; false where the value does not fit it.
  public let set: @Sendable (inout Row, Value) -> Bool

  public func get(_ row: Row) -> Value { withUnsafePointer(to: row) { load($0) } }

  /// The same without a copy of the row, where rows are read by the million.
  public func get(at row: UnsafePointer<Row>) -> Value { load(UnsafeRawPointer(row)) }
}

/// A stored property of a row by its offset, since a key path costs several times as much.
private struct Stored<T>: Sendable {
  private let offset: Int

  init<Row>(_ path: any RowPath<Row, T>) {
    guard let offset = MemoryLayout<Row>.offset(of: path) else {
      preconditionFailure("a column is a stored property of its row")
    }
    self.offset = offset
  }

  func callAsFunction(_ row: UnsafeRawPointer) -> T { row.load(fromByteOffset: offset, as: T.self) }

  /// - Parameter row: Of the type whose property this is.
  func set<Row>(_ row: inout Row, _ value: T) {
    withUnsafeMutablePointer(to: &row) { row in
      let property = UnsafeMutableRawPointer(row).advanced(by: offset)
      property.assumingMemoryBound(to: T.self).pointee = value
    }
  }
}

public typealias RowPath<Row, T> = WritableKeyPath<Row, T> & Sendable

extension Column {
  public static func text(_ name: String, _ path: any RowPath<Row, String>, _ part: Part = .data)
    -> Column
  {
    let stored = Stored(path)
    return Column(name: name, type: .text, part: part, isNullable: false) {
      .text(stored($0))
    } set: { row, value in
      guard case .text(let text) = value else { return false }
      stored.set(&row, text)
      return true
    }
  }

  public static func text(_ name: String, _ path: any RowPath<Row, String?>, _ part: Part = .data)
    -> Column
  {
    let stored = Stored(path)
    return Column(name: name, type: .text, part: part, isNullable: true) {
      stored($0).map(Value.text) ?? .null
    } set: { row, value in
      switch value {
      case .text(let text): stored.set(&row, text)
      case .null: stored.set(&row, nil)
      default: return false
      }
      return true
    }
  }

  public static func json(_ name: String, _ path: any RowPath<Row, String>, _ part: Part) -> Column
  {
    let stored = Stored(path)
    return Column(name: name, type: .json, part: part, isNullable: false) {
      .json(stored($0))
    } set: { row, value in
      guard case .json(let text) = value else { return false }
      stored.set(&row, text)
      return true
    }
  }

  public static func json(_ name: String, _ path: any RowPath<Row, String?>, _ part: Part) -> Column
  {
    let stored = Stored(path)
    return Column(name: name, type: .json, part: part, isNullable: true) {
      stored($0).map(Value.json) ?? .null
    } set: { row, value in
      switch value {
      case .json(let text): stored.set(&row, text)
      case .null: stored.set(&row, nil)
      default: return false
      }
      return true
    }
  }

  public static func int(_ name: String, _ path: any RowPath<Row, Int32>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .int, part: .data, isNullable: false) {
      .int(stored($0))
    } set: { row, value in
      guard case .int(let number) = value else { return false }
      stored.set(&row, number)
      return true
    }
  }

  public static func int(_ name: String, _ path: any RowPath<Row, Int32?>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .int, part: .data, isNullable: true) {
      stored($0).map(Value.int) ?? .null
    } set: { row, value in
      switch value {
      case .int(let number): stored.set(&row, number)
      case .null: stored.set(&row, nil)
      default: return false
      }
      return true
    }
  }

  public static func ints(_ name: String, _ path: any RowPath<Row, [Int32]?>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .ints, part: .data, isNullable: true) {
      stored($0).map(Value.ints) ?? .null
    } set: { row, value in
      switch value {
      case .ints(let numbers): stored.set(&row, numbers)
      case .null: stored.set(&row, nil)
      default: return false
      }
      return true
    }
  }

  public static func uuid(_ name: String, _ path: any RowPath<Row, StreamID>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .uuid, part: .data, isNullable: false) {
      .uuid(stored($0))
    } set: { row, value in
      guard case .uuid(let id) = value else { return false }
      stored.set(&row, id)
      return true
    }
  }

  public static func uuid(_ name: String, _ path: any RowPath<Row, StreamID?>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .uuid, part: .data, isNullable: true) {
      stored($0).map(Value.uuid) ?? .null
    } set: { row, value in
      switch value {
      case .uuid(let id): stored.set(&row, id)
      case .null: stored.set(&row, nil)
      default: return false
      }
      return true
    }
  }

  public static func time(_ name: String, _ path: any RowPath<Row, Instant>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .time, part: .data, isNullable: false) {
      .time(stored($0))
    } set: { row, value in
      guard case .time(let instant) = value else { return false }
      stored.set(&row, instant)
      return true
    }
  }

  public static func time(_ name: String, _ path: any RowPath<Row, Instant?>) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: .time, part: .data, isNullable: true) {
      stored($0).map(Value.time) ?? .null
    } set: { row, value in
      switch value {
      case .time(let instant): stored.set(&row, instant)
      case .null: stored.set(&row, nil)
      default: return false
      }
      return true
    }
  }

  /// A column whose values are the cases of an enum: of a PostgreSQL enum type where `type` names
  /// one, of text under a CHECK otherwise.
  public static func label<Label: RawRepresentable<String> & Sendable>(
    _ name: String, _ path: any RowPath<Row, Label>, type: String? = nil
  ) -> Column {
    let stored = Stored(path)
    return Column(
      name: name, type: type.map(ColumnType.label) ?? .text, part: .data, isNullable: false
    ) {
      .text(stored($0).rawValue)
    } set: { row, value in
      guard case .text(let text) = value, let label = Label(rawValue: text) else { return false }
      stored.set(&row, label)
      return true
    }
  }
}
