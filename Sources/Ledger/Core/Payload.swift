public import JSON

/// The payload of a recorded event.
///
/// In content, a null field was erased: SQL NULL is an absent field, and JSON null is wrapped (``WrappedJSON``). Such a
/// field reads as the marker of its column, so an erased event still folds.
public struct Payload {
  public let data: JSONFields
  public let content: JSONFields

  public init(data: JSONFields, content: JSONFields) {
    self.data = data
    self.content = content
  }

  public static var none: Payload { Payload(data: .none, content: .none) }

  // MARK: Data

  public func text(_ key: StaticString) throws(Unreadable) -> String {
    guard let value = data.string(key) else { throw Unreadable("\(key) is not text") }
    return value
  }

  public func optionalText(_ key: StaticString) -> String? { data.string(key) }

  public func int(_ key: StaticString) throws(Unreadable) -> Int32 {
    guard let value = data.int(key), let small = Int32(exactly: value) else {
      throw Unreadable("\(key) is not an integer")
    }
    return small
  }

  public func optionalInt(_ key: StaticString) throws(Unreadable) -> Int32? {
    isMissing(key) ? nil : try int(key)
  }

  private func isMissing(_ key: StaticString) -> Bool {
    switch data.kind(key) {
    case .absent, .null: true
    case .bool, .integer, .number, .string, .object, .array: false
    }
  }

  public func bool(_ key: StaticString) throws(Unreadable) -> Bool {
    guard let value = data.bool(key) else { throw Unreadable("\(key) is not true or false") }
    return value
  }

  public func id(_ key: StaticString) throws(Unreadable) -> StreamID {
    guard let value = data.withString(key, StreamID.init(utf8:)) else {
      throw Unreadable("\(key) is not a UUID")
    }
    return value
  }

  public func optionalID(_ key: StaticString) throws(Unreadable) -> StreamID? {
    isMissing(key) ? nil : try id(key)
  }

  public func time(_ key: StaticString) throws(Unreadable) -> Instant {
    guard let value = data.withString(key, Instant.init(utf8:)) else {
      throw Unreadable("\(key) is not a time")
    }
    return value
  }

  public func optionalTime(_ key: StaticString) throws(Unreadable) -> Instant? {
    isMissing(key) ? nil : try time(key)
  }

  public func label<Label: RawRepresentable<String>>(
    _ key: StaticString, as type: Label.Type
  ) throws(Unreadable) -> Label {
    guard let value = Label(rawValue: try text(key)) else {
      throw Unreadable("\(key) is not a known \(Label.self)")
    }
    return value
  }

  /// The text of a JSON value.
  public func optionalJSON(_ key: StaticString) -> String? {
    isMissing(key) ? nil : data.json(key).map(WrappedJSON.unwrap)
  }

  public func json(_ key: StaticString) throws(Unreadable) -> String {
    guard let value = optionalJSON(key) else { throw Unreadable("\(key) is missing") }
    return value
  }

  /// Nil if the field is not an array.
  public func optionalInts(_ key: StaticString) throws(Unreadable) -> [Int32]? {
    guard data.kind(key) == .array, let text = data.json(key) else { return nil }
    var numbers: [Int32] = []
    for part in text.dropFirst().dropLast().split(separator: ",") {
      guard let number = Int32(part.filter { $0 != " " }) else {
        throw Unreadable("an element of \(key) is not an integer")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// Nil if the field is not an array.
  public func optionalIDs(_ key: StaticString) throws(Unreadable) -> [StreamID]? {
    guard data.kind(key) == .array, let text = data.json(key) else { return nil }
    var ids: [StreamID] = []
    for element in text.asJSON.arrayValue ?? [.null] {
      guard let id = element.idValue else { throw Unreadable("an element of \(key) is not a UUID") }
      ids.append(id)
    }
    return ids
  }

  // MARK: Content

  /// The content of a nullable text column. An absent and an erased field both read as NULL.
  public func optionalContentText(_ key: StaticString) -> String? { content.string(key) }

  public func contentText(_ key: StaticString) throws(Unreadable) -> String {
    switch content.kind(key) {
    case .string: return content.string(key) ?? ""
    case .null: return Erased.text
    default: throw Unreadable("\(key) is not text")
    }
  }

  /// The content of a nullable JSON column.
  public func optionalContentJSON(_ key: StaticString) -> String? {
    switch content.kind(key) {
    case .absent, .null: nil
    default: content.json(key).map(WrappedJSON.unwrap)
    }
  }

  public func contentJSON(_ key: StaticString) throws(Unreadable) -> String {
    switch content.kind(key) {
    case .absent: throw Unreadable("\(key) is missing")
    case .null: return Erased.json
    default: return WrappedJSON.unwrap(content.json(key) ?? "null")
    }
  }

  /// Whether the event has the field, erased or not.
  public func hasContent(_ key: StaticString) -> Bool { content.kind(key) != .absent }
}

/// The form of a JSON column's value in a payload, where `null` alone means SQL NULL or erased. JSON null, and an
/// object whose only key is `json`, are wrapped as `{"json": …}`. Every other value is written as it is.
public enum WrappedJSON {
  public static func wrap(_ text: String) -> String {
    text == "null" || isWrapped(text) ? #"{"json": "# + text + "}" : text
  }

  public static func unwrap(_ text: String) -> String {
    guard isWrapped(text), let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")),
      let brace = text.utf8.lastIndex(of: UInt8(ascii: "}"))
    else { return text }
    let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }
    let value = text.utf8[text.utf8.index(after: colon)..<brace].drop(while: isSpace)
    let end = value.lastIndex { !isSpace($0) }
    return String(Substring(end.map { value[...$0] } ?? value))
  }

  /// Whether the text is an object whose only key is `json`. Spaces after the key are allowed.
  private static func isWrapped(_ text: String) -> Bool {
    text.utf8.starts(with: #"{"json""#.utf8) && text.asJSON.objectValue?.count == 1
  }
}
