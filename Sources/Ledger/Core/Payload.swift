public import JSON

/// The payload of a recorded event as its reader sees it.
///
/// In content a field that is null was erased (SQL NULL is an absent field, JSON null is wrapped, see
/// ``WrappedJSON``): reading it gives the column's marker, so that an erased event still folds.
public struct Payload {
  public let data: JSONFields
  public let content: JSONFields

  public init(data: JSONFields, content: JSONFields) {
    self.data = data
    self.content = content
  }

  /// A payload without fields.
  public static var none: Payload { Payload(data: .none, content: .none) }

  // MARK: Structure

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
    switch data.kind(key) {
    case .absent, .null: return nil
    default: return try int(key)
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
    switch data.kind(key) {
    case .absent, .null: return nil
    default: return try id(key)
    }
  }

  public func time(_ key: StaticString) throws(Unreadable) -> Instant {
    guard let value = data.withString(key, Instant.init(utf8:)) else {
      throw Unreadable("\(key) is not a time")
    }
    return value
  }

  public func optionalTime(_ key: StaticString) throws(Unreadable) -> Instant? {
    switch data.kind(key) {
    case .absent, .null: return nil
    default: return try time(key)
    }
  }

  public func label<Label: RawRepresentable<String>>(
    _ key: StaticString, as type: Label.Type
  ) throws(Unreadable) -> Label {
    guard let value = Label(rawValue: try text(key)) else {
      throw Unreadable("\(key) is no \(Label.self)")
    }
    return value
  }

  /// A json value of structure, as its text; nil where there is none.
  public func optionalJSON(_ key: StaticString) -> String? {
    switch data.kind(key) {
    case .absent, .null: nil
    default: data.json(key).map(WrappedJSON.unwrap)
    }
  }

  public func json(_ key: StaticString) throws(Unreadable) -> String {
    guard let value = optionalJSON(key) else { throw Unreadable("\(key) is missing") }
    return value
  }

  /// An array of integers of structure; nil where there is none.
  public func optionalInts(_ key: StaticString) throws(Unreadable) -> [Int32]? {
    guard data.kind(key) == .array, let text = data.json(key) else { return nil }
    return try Payload.ints(text)
  }

  /// An array of ids of structure; nil where there is none.
  public func optionalIDs(_ key: StaticString) throws(Unreadable) -> [StreamID]? {
    guard data.kind(key) == .array, let text = data.json(key) else { return nil }
    guard let elements = (try? JSON(parsing: text))?.arrayValue else {
      throw Unreadable("\(key) is not an array")
    }
    var ids: [StreamID] = []
    for element in elements {
      guard let id = element.idValue else {
        throw Unreadable("\(key) holds what is no UUID")
      }
      ids.append(id)
    }
    return ids
  }

  static func ints(_ text: String) throws(Unreadable) -> [Int32] {
    var numbers: [Int32] = []
    for part in text.dropFirst().dropLast().split(separator: ",") {
      guard let number = Int32(part.filter { $0 != " " }) else {
        throw Unreadable("an array holds what is no integer")
      }
      numbers.append(number)
    }
    return numbers
  }

  // MARK: Content

  /// Content of a nullable text column: absent and erased both read as NULL.
  public func optionalContentText(_ key: StaticString) -> String? { content.string(key) }

  public func contentText(_ key: StaticString) throws(Unreadable) -> String {
    switch content.kind(key) {
    case .string: return content.string(key) ?? ""
    case .null: return Erased.text
    default: throw Unreadable("\(key) is not text")
    }
  }

  /// Content of a nullable json column.
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

  /// Whether a field was written, erased or not.
  public func hasContent(_ key: StaticString) -> Bool { content.kind(key) != .absent }
}

/// How a json column's value stands in a payload, where a bare `null` already means something: as
/// itself, but JSON null and objects whose only key is `json` are wrapped as `{"json": …}`.
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

  /// An object whose only key is `json`, in any spacing.
  private static func isWrapped(_ text: String) -> Bool {
    guard text.utf8.starts(with: #"{"json""#.utf8),
      let document = try? JSON(parsing: text), let members = document.objectValue
    else { return false }
    return members.count == 1
  }
}
