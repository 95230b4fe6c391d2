/// A JSON document as a value, for policies, templates and other small documents.
///
/// Numbers keep every digit. If an object has a key twice, the last one counts, as in PostgreSQL's `jsonb`.
public enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case number(String)
  case string(String)
  case array([JSON])
  case object([String: JSON])
}

extension JSON {
  public static func int(_ value: some BinaryInteger) -> JSON { .number(String(value)) }

  /// A string, or `null` for nil.
  public static func optional(_ text: String?) -> JSON { text.map(JSON.string) ?? .null }

  /// The member of an object; nil if this is not an object or has no such member.
  public subscript(_ key: String) -> JSON? { objectValue?[key] }

  public var objectValue: [String: JSON]? {
    if case .object(let members) = self { members } else { nil }
  }

  public var arrayValue: [JSON]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  public var stringValue: String? {
    if case .string(let text) = self { text } else { nil }
  }

  public var boolValue: Bool? {
    if case .bool(let truth) = self { truth } else { nil }
  }

  private var numberValue: String? {
    if case .number(let text) = self { text } else { nil }
  }

  /// A whole number; nil if the number has a fraction or is too large.
  public var intValue: Int? { numberValue.flatMap { Int($0) } }

  /// A floating-point number; nil if the number is too large.
  public var doubleValue: Double? {
    numberValue.flatMap { Double($0) }.flatMap { $0.isFinite ? $0 : nil }
  }
}

// MARK: - Text

extension JSON {
  /// The text that PostgreSQL prints for this document as `jsonb`: keys are sorted by length and then by bytes, and the
  /// separators are `", "` and `": "`. So a recorded value can be compared with its column by bytes.
  ///
  /// - Source: PostgreSQL manual 8.14; `lengthCompareJsonbStringValue` orders keys.
  public var text: String {
    var out = JSONText()
    out.append(self)
    return out.string
  }
}

/// The text of a JSON document while it is written.
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

  /// The order of keys in `jsonb`.
  static func ordered(_ a: String, _ b: String) -> Bool {
    let (x, y) = (a.utf8, b.utf8)
    return x.count == y.count ? x.lexicographicallyPrecedes(y) : x.count < y.count
  }

  mutating func append(quoted text: String) {
    bytes.append(UInt8(ascii: "\""))
    var text = text
    // Most texts need no escape and are copied whole.
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

/// Writes an object's text member by member, for payloads: a ``JSON`` value would cost more than the payload.
public struct JSONObjectWriter {
  private var out = JSONText()
  /// Whether the object has no members yet.
  public private(set) var isEmpty = true

  /// - Parameter bytes: The expected size of the object's text.
  public init(reservingBytes bytes: Int = 0) {
    out.bytes.reserveCapacity(bytes)
    out.bytes.append(UInt8(ascii: "{"))
  }

  private mutating func separate() {
    if !isEmpty { out.bytes.append(contentsOf: ", ".utf8) }
    isEmpty = false
  }

  private mutating func key(_ name: String) {
    separate()
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

  /// Writes a member whose value is JSON text.
  public mutating func raw(_ name: String, _ text: String) {
    key(name)
    out.bytes.append(contentsOf: text.utf8)
  }

  public mutating func json(_ name: String, _ value: JSON) {
    key(name)
    out.append(value)
  }

  /// Writes the end of another object's text, from its first key to its closing brace. Only ``text`` may follow.
  public mutating func members(of rest: UnsafeBufferPointer<UInt8>) {
    separate()
    out.bytes.append(contentsOf: rest)
  }

  /// The text so far. ``finish()`` adds the closing brace.
  public var text: String { out.string }

  public consuming func finish() -> String {
    out.bytes.append(UInt8(ascii: "}"))
    return out.string
  }
}
