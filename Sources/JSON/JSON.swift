/// A JSON document as a value, for policies, templates and everything else that is small.
///
/// Numbers keep every digit, so that nothing is lost on the way through. Objects have unique keys: of
/// two equal ones the last counts, as in PostgreSQL's `jsonb`.
public enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSON])
  case object([String: JSON])
}

extension JSON {
  /// A whole number.
  public static func int(_ value: some BinaryInteger) -> JSON { .number(String(value)) }

  /// Text where there is some, `null` where there is none.
  public static func optional(_ text: String?) -> JSON { text.map(JSON.string) ?? .null }

  /// The member of an object; nil where this is no object or has no such member.
  public subscript(_ key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members[key]
  }

  public var objectValue: [String: JSON]? {
    guard case .object(let members) = self else { return nil }
    return members
  }

  public var arrayValue: [JSON]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }

  public var stringValue: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  public var boolValue: Bool? {
    guard case .bool(let truth) = self else { return nil }
    return truth
  }

  /// The number as a whole one; nil where it is none or does not fit.
  public var intValue: Int? {
    guard case .number(let text) = self else { return nil }
    return Int(text)
  }

  /// The number as a finite floating-point one.
  public var doubleValue: Double? {
    guard case .number(let text) = self, let value = Double(text), value.isFinite else {
      return nil
    }
    return value
  }
}

// MARK: - Text

extension JSON {
  /// The document in the form in which PostgreSQL prints `jsonb`: keys by length and then by bytes,
  /// `", "` and `": "` between. A value recorded in this form compares to its column by bytes.
  ///
  /// - Source: PostgreSQL manual 8.14; `lengthCompareJsonbStringValue` orders keys.
  public var text: String {
    var out = JSONText()
    out.append(self)
    return out.string
  }
}

/// Text of JSON documents, as it is written.
struct JSONText {
  var bytes: [UInt8] = []

  var string: String { String(decoding: bytes, as: UTF8.self) }

  mutating func append(_ value: JSON) {
    switch value {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .bool(let truth): bytes.append(contentsOf: (truth ? "true" : "false").utf8)
    case .number(let text): bytes.append(contentsOf: text.utf8)
    case .string(let text): append(quoted: text)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { bytes.append(contentsOf: ", ".utf8) }
        append(element)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      bytes.append(UInt8(ascii: "{"))
      let sorted = members.sorted { JSONText.ordered($0.key, $1.key) }
      for (index, member) in sorted.enumerated() {
        if index > 0 { bytes.append(contentsOf: ", ".utf8) }
        append(quoted: member.key)
        bytes.append(contentsOf: ": ".utf8)
        append(member.value)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  /// Keys as `jsonb` orders them.
  static func ordered(_ a: String, _ b: String) -> Bool {
    let (x, y) = (a.utf8, b.utf8)
    return x.count == y.count ? x.lexicographicallyPrecedes(y) : x.count < y.count
  }

  mutating func append(quoted text: String) {
    bytes.append(UInt8(ascii: "\""))
    var text = text
    // Most texts need no escape, and are copied whole.
    let isPlain = text.withUTF8 { utf8 in
      for byte in utf8 where byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
      {
        return false
      }
      bytes.append(contentsOf: utf8)
      return true
    }
    if !isPlain { append(escaped: text) }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func append(escaped text: String) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
      case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
      case 0x08: bytes.append(contentsOf: "\\b".utf8)
      case 0x0C: bytes.append(contentsOf: "\\f".utf8)
      case 0x0A: bytes.append(contentsOf: "\\n".utf8)
      case 0x0D: bytes.append(contentsOf: "\\r".utf8)
      case 0x09: bytes.append(contentsOf: "\\t".utf8)
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(digits[Int(byte >> 4)])
        bytes.append(digits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
  }
}

/// An object's text, written member by member: for payloads, where building a ``JSON`` first would
/// cost more than the payload.
public struct JSONObjectWriter {
  private var out = JSONText()
  /// Whether nothing has been written.
  public private(set) var isEmpty = true

  /// - Parameter bytes: Expected size of the object's text.
  public init(reservingBytes bytes: Int = 0) {
    out.bytes.reserveCapacity(bytes)
    out.bytes.append(UInt8(ascii: "{"))
  }

  private mutating func key(_ name: String) {
    if !isEmpty { out.bytes.append(contentsOf: ", ".utf8) }
    isEmpty = false
    out.append(quoted: name)
    out.bytes.append(contentsOf: ": ".utf8)
  }

  public mutating func string(_ name: String, _ value: String) {
    key(name)
    out.append(quoted: value)
  }

  public mutating func int(_ name: String, _ value: some BinaryInteger) {
    key(name)
    out.bytes.append(contentsOf: String(value).utf8)
  }

  public mutating func bool(_ name: String, _ value: Bool) {
    key(name)
    out.append(.bool(value))
  }

  /// A value that is JSON text already.
  public mutating func raw(_ name: String, _ text: String) {
    key(name)
    out.bytes.append(contentsOf: text.utf8)
  }

  public mutating func json(_ name: String, _ value: JSON) {
    key(name)
    out.append(value)
  }

  /// The members of an object that is text already and has some, from its first key to its closing
  /// brace: nothing may follow but ``text``.
  public mutating func members(of rest: UnsafeBufferPointer<UInt8>) {
    if !isEmpty { out.bytes.append(contentsOf: ", ".utf8) }
    isEmpty = false
    out.bytes.append(contentsOf: rest)
  }

  /// What has been written so far; ``finish()`` adds the closing brace.
  public var text: String { out.string }

  /// The object's text.
  public consuming func finish() -> String {
    out.bytes.append(UInt8(ascii: "}"))
    return out.string
  }
}
