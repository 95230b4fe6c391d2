import JSON

/// One column's value. SQL NULL is `null`; JSON null is `json("null")`.
public enum Value: Sendable {
  case null
  case int(Int32)
  case text(String)
  case uuid(StreamID)
  case time(Instant)
  /// The text that PostgreSQL prints for a `jsonb` column.
  case json(String)
  case ints([Int32])
}

extension Value {
  public var isNull: Bool {
    if case .null = self { true } else { false }
  }

  /// The value for people; nil for SQL NULL.
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

  /// The value in the payload of an event. `null` is SQL NULL, and JSON null is wrapped.
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

  /// The value of a text or label column.
  public var textValue: String? {
    if case .text(let text) = self { text } else { nil }
  }

  public var idValue: StreamID? {
    if case .uuid(let id) = self { id } else { nil }
  }

  fileprivate var intValue: Int32? {
    if case .int(let number) = self { number } else { nil }
  }

  fileprivate var timeValue: Instant? {
    if case .time(let instant) = self { instant } else { nil }
  }

  fileprivate var intsValue: [Int32]? {
    if case .ints(let numbers) = self { numbers } else { nil }
  }

  public var jsonValue: String? {
    if case .json(let text) = self { text } else { nil }
  }

  /// Whether two values have the same bytes. For Swift's `==`, two spellings of a character are equal.
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
  /// An enum type of the predecessor, by its name.
  case label(String)
}

/// The half of an event's payload that has a column.
public enum Part: Equatable, Sendable {
  case data
  case content
  /// A JSON column with some fields that are content; `docs/events.md` lists them.
  case mixed
}

/// One ledger column of a row type.
public struct Column<R>: Sendable {
  public let name: String
  public let type: ColumnType
  public let part: Part
  public let isNullable: Bool
  /// Reads the column of the row at an address.
  let load: @Sendable (UnsafeRawPointer) -> Value
  /// Sets the column. False if the value has another type.
  public let set: @Sendable (inout R, Value) -> Bool

  public func get(_ row: R) -> Value { withUnsafePointer(to: row) { load($0) } }

  /// The same without a copy of the row, for millions of rows.
  public func get(at row: UnsafePointer<R>) -> Value { load(UnsafeRawPointer(row)) }
}

/// A stored property of a row, by its offset: a key path costs several times as much.
private struct Stored<T>: Sendable {
  private let offset: Int

  init<R>(_ path: any RowPath<R, T>) {
    guard let offset = MemoryLayout<R>.offset(of: path) else {
      preconditionFailure("a column is a stored property of its row")
    }
    self.offset = offset
  }

  func callAsFunction(_ row: UnsafeRawPointer) -> T { row.load(fromByteOffset: offset, as: T.self) }

  /// - Parameter row: Of the type whose property this is.
  func set<R>(_ row: inout R, _ value: T) {
    withUnsafeMutablePointer(to: &row) { row in
      let property = UnsafeMutableRawPointer(row).advanced(by: offset)
      property.assumingMemoryBound(to: T.self).pointee = value
    }
  }
}

public typealias RowPath<R, T> = WritableKeyPath<R, T> & Sendable

// Inlined, so that each column reads and sets its property without further calls.
extension Column {
  @inline(__always)
  private static func nonNull<T>(
    _ name: String, _ type: ColumnType, _ part: Part, _ path: any RowPath<R, T>,
    _ value: @escaping @Sendable (T) -> Value, _ property: @escaping @Sendable (Value) -> T?
  ) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: type, part: part, isNullable: false) {
      value(stored($0))
    } set: { row, new in
      guard let new = property(new) else { return false }
      stored.set(&row, new)
      return true
    }
  }

  @inline(__always)
  private static func nullable<T>(
    _ name: String, _ type: ColumnType, _ part: Part, _ path: any RowPath<R, T?>,
    _ value: @escaping @Sendable (T) -> Value, _ property: @escaping @Sendable (Value) -> T?
  ) -> Column {
    let stored = Stored(path)
    return Column(name: name, type: type, part: part, isNullable: true) {
      stored($0).map(value) ?? .null
    } set: { row, new in
      let content = property(new)
      guard content != nil || new.isNull else { return false }
      stored.set(&row, content)
      return true
    }
  }

  static func text(_ name: String, _ path: any RowPath<R, String>, _ part: Part = .data) -> Column {
    nonNull(name, .text, part, path, { .text($0) }, { $0.textValue })
  }

  static func text(_ name: String, _ path: any RowPath<R, String?>, _ part: Part = .data)
    -> Column
  {
    nullable(name, .text, part, path, { .text($0) }, { $0.textValue })
  }

  static func json(_ name: String, _ path: any RowPath<R, String>, _ part: Part) -> Column {
    nonNull(name, .json, part, path, { .json($0) }, { $0.jsonValue })
  }

  static func json(_ name: String, _ path: any RowPath<R, String?>, _ part: Part) -> Column {
    nullable(name, .json, part, path, { .json($0) }, { $0.jsonValue })
  }

  static func int(_ name: String, _ path: any RowPath<R, Int32>) -> Column {
    nonNull(name, .int, .data, path, { .int($0) }, { $0.intValue })
  }

  static func int(_ name: String, _ path: any RowPath<R, Int32?>) -> Column {
    nullable(name, .int, .data, path, { .int($0) }, { $0.intValue })
  }

  static func ints(_ name: String, _ path: any RowPath<R, [Int32]?>) -> Column {
    nullable(name, .ints, .data, path, { .ints($0) }, { $0.intsValue })
  }

  static func uuid(_ name: String, _ path: any RowPath<R, StreamID>) -> Column {
    nonNull(name, .uuid, .data, path, { .uuid($0) }, { $0.idValue })
  }

  static func uuid(_ name: String, _ path: any RowPath<R, StreamID?>) -> Column {
    nullable(name, .uuid, .data, path, { .uuid($0) }, { $0.idValue })
  }

  static func time(_ name: String, _ path: any RowPath<R, Instant>) -> Column {
    nonNull(name, .time, .data, path, { .time($0) }, { $0.timeValue })
  }

  static func time(_ name: String, _ path: any RowPath<R, Instant?>) -> Column {
    nullable(name, .time, .data, path, { .time($0) }, { $0.timeValue })
  }

  /// A column whose values are the cases of an enum.
  ///
  /// - Parameter type: The PostgreSQL enum type; nil for text with a CHECK.
  static func label<Label: RawRepresentable<String> & Sendable>(
    _ name: String, _ path: any RowPath<R, Label>, type: String? = nil
  ) -> Column {
    nonNull(
      name, type.map(ColumnType.label) ?? .text, .data, path, { .text($0.rawValue) },
      { $0.textValue.flatMap(Label.init(rawValue:)) })
  }
}
