internal import CSimdJSON
internal import Glibc

/// A text is not a document that PostgreSQL's `jsonb` accepts.
public struct JSONError: Error, Equatable, Sendable {
  public let reason: String

  public init(reason: String) { self.reason = reason }
}

/// Reads JSON with simdjson. A reader holds buffers, so use it for many documents, on one thread at a time.
public final class JSONReader {
  private let parser: OpaquePointer?

  public init() { parser = ops_json_parser_new() }

  deinit { ops_json_parser_free(parser) }

  /// Reads and checks a whole document.
  ///
  /// - Throws: ``JSONError`` for text that `jsonb` refuses: malformed text, invalid UTF-8, `\u0000`, lone surrogates,
  ///   numbers out of `numeric`'s range. Also for more than 256 levels of nesting, and for two keys of an object that
  ///   have the same characters in different bytes: `jsonb` keeps both, and a dictionary cannot.
  public func parse(_ text: String) throws(JSONError) -> JSON {
    guard let parser else { throw JSONError(reason: "out of memory") }
    var tape: UnsafePointer<ops_json_value>?
    var why: UnsafePointer<CChar>?
    var text = text
    let count = text.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { chars in
        ops_json_tape(parser, chars.baseAddress, chars.count, &tape, &why)
      }
    }
    guard count > 0, let tape else {
      throw JSONError(reason: why.map { String(cString: $0) } ?? "the text is empty")
    }
    var cursor = TapeCursor(tape: UnsafeBufferPointer(start: tape, count: Int(count)))
    return try cursor.value()
  }

  /// The top-level fields of an object that was checked when it was recorded.
  ///
  /// - Returns: Fields that are valid until the next call of this reader; nil if the text is not an object.
  public func fields(_ bytes: UnsafeRawBufferPointer) -> JSONFields? {
    guard let parser else { return nil }
    var found: UnsafePointer<ops_json_value>?
    let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
    let count = ops_json_fields(parser, start, bytes.count, &found)
    guard count >= 0 else { return nil }
    return JSONFields(values: UnsafeBufferPointer(start: found, count: Int(count)))
  }
}

extension JSON {
  /// Reads and checks one document; see ``JSONReader/parse(_:)``.
  public init(parsing text: String) throws(JSONError) {
    self = try JSONReader().parse(text)
  }
}

private struct TapeCursor {
  let tape: UnsafeBufferPointer<ops_json_value>
  var at = 0
  /// The digits that exponents have added: a number of a few bytes can have 131,072 digits.
  var grown = 0
  static let grownMax = 1 << 20

  mutating func next() -> ops_json_value {
    defer { at += 1 }
    return tape[at]
  }

  mutating func value() throws(JSONError) -> JSON {
    let item = next()
    switch ops_json_kind(UInt32(item.kind)) {
    case OPS_JSON_NULL: return .null
    case OPS_JSON_FALSE: return .bool(false)
    case OPS_JSON_TRUE: return .bool(true)
    case OPS_JSON_INTEGER: return .number(String(item.integer))
    case OPS_JSON_NUMBER: return .number(try number(item.string))
    case OPS_JSON_STRING: return .string(try text(item.string))
    case OPS_JSON_ARRAY:
      var elements: [JSON] = []
      elements.reserveCapacity(Int(item.integer))
      for _ in 0..<item.integer { elements.append(try value()) }
      return .array(elements)
    default:
      var members: [String: JSON] = [:]
      for _ in 0..<item.integer {
        let key = try text(next().string)
        if let twin = members.index(forKey: key),
          !members.keys[twin].utf8.elementsEqual(key.utf8)
        {
          throw JSONError(
            reason: "two keys of an object have the same characters in different bytes")
        }
        members[key] = try value()
      }
      return .object(members)
    }
  }

  func text(_ value: String) throws(JSONError) -> String {
    guard !value.utf8.contains(0) else {
      throw JSONError(reason: "\\u0000 cannot be stored in PostgreSQL")
    }
    return value
  }

  /// The number in the form that `numeric` prints: without an exponent, and zero without a sign.
  ///
  /// - Source: PostgreSQL manual, table 8.2: 131072 digits before the point, 16383 after it.
  mutating func number(_ text: String) throws(JSONError) -> String {
    let mantissaAndExponent = text.split { $0 == "e" || $0 == "E" }
    let parts = mantissaAndExponent[0].split(separator: ".")
    let exponent = mantissaAndExponent.count > 1 ? Int(mantissaAndExponent[1]) : 0
    let fraction = parts.count > 1 ? parts[1] : ""
    guard let exponent, (-999_999...999_999).contains(exponent),
      parts[0].utf8.count + exponent <= 131_072, fraction.utf8.count - exponent <= 16_383
    else { throw JSONError(reason: "a number is out of range") }
    grown += abs(exponent)
    guard grown <= Self.grownMax else {
      throw JSONError(reason: "its numbers are too long without their exponents")
    }
    let isNegative = parts[0].utf8.first == UInt8(ascii: "-")
    let whole = isNegative ? parts[0].dropFirst() : parts[0]
    let isZero = !mantissaAndExponent[0].utf8.contains { (0x31...0x39).contains($0) }
    guard mantissaAndExponent.count > 1 || isZero && isNegative else { return text }
    return (isNegative && !isZero ? "-" : "")
      + Self.shifted(Array((whole + fraction).utf8), point: whole.utf8.count + exponent)
  }

  /// The digits with a point before the digit at `point`, which may be outside of them.
  private static func shifted(_ digits: [UInt8], point: Int) -> String {
    let zeros = { (count: Int) in [UInt8](repeating: UInt8(ascii: "0"), count: max(count, 0)) }
    let padded = zeros(-point) + digits + zeros(point - digits.count)
    let split = max(point, 0)
    let whole = padded[..<split].drop { $0 == UInt8(ascii: "0") }
    let fraction = padded[split...]
    return String(decoding: whole.isEmpty ? zeros(1)[...] : whole, as: UTF8.self)
      + (fraction.isEmpty ? "" : "." + String(decoding: fraction, as: UTF8.self))
  }
}

extension ops_json_value {
  fileprivate var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: text, count: Int(text_length))
  }

  fileprivate var string: String { String(decoding: bytes, as: UTF8.self) }

  fileprivate var name: String {
    String(decoding: UnsafeRawBufferPointer(start: key, count: Int(key_length)), as: UTF8.self)
  }
}

/// The top-level fields of one recorded object. They are valid until the next call of their reader.
public struct JSONFields {
  let values: UnsafeBufferPointer<ops_json_value>

  public static var none: JSONFields {
    JSONFields(values: UnsafeBufferPointer(start: nil, count: 0))
  }

  public enum Kind { case absent, null, bool, integer, number, string, object, array }

  private func find(_ key: StaticString) -> ops_json_value? {
    find(UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
  }

  /// Recorded payloads have no key twice.
  private func find(_ key: UnsafeRawBufferPointer) -> ops_json_value? {
    guard let wanted = key.baseAddress else { return nil }
    for value in values where Int(value.key_length) == key.count {
      if memcmp(value.key, wanted, key.count) == 0 { return value }
    }
    return nil
  }

  public func kind(_ key: StaticString) -> Kind {
    guard let value = find(key) else { return .absent }
    switch ops_json_kind(UInt32(value.kind)) {
    case OPS_JSON_NULL: return .null
    case OPS_JSON_FALSE, OPS_JSON_TRUE: return .bool
    case OPS_JSON_INTEGER: return .integer
    case OPS_JSON_NUMBER: return .number
    case OPS_JSON_STRING: return .string
    case OPS_JSON_ARRAY: return .array
    default: return .object
    }
  }

  public func string(_ key: StaticString) -> String? {
    guard let value = find(key), value.kind == OPS_JSON_STRING.rawValue else { return nil }
    return value.string
  }

  /// Calls `body` with the bytes of a string field.
  public func withString<R>(_ key: StaticString, _ body: (UnsafeRawBufferPointer) -> R?) -> R? {
    guard let value = find(key), value.kind == OPS_JSON_STRING.rawValue else { return nil }
    return body(value.bytes)
  }

  public func int(_ key: StaticString) -> Int64? {
    guard let value = find(key), value.kind == OPS_JSON_INTEGER.rawValue else { return nil }
    return value.integer
  }

  public func bool(_ key: StaticString) -> Bool? {
    guard let value = find(key) else { return nil }
    switch ops_json_kind(UInt32(value.kind)) {
    case OPS_JSON_TRUE: return true
    case OPS_JSON_FALSE: return false
    default: return nil
    }
  }

  /// A field's value as JSON text. Nested values keep their spelling.
  public func json(_ key: StaticString) -> String? { find(key).map(text) }

  private func text(_ value: ops_json_value) -> String {
    switch ops_json_kind(UInt32(value.kind)) {
    case OPS_JSON_NULL: "null"
    case OPS_JSON_FALSE: "false"
    case OPS_JSON_TRUE: "true"
    case OPS_JSON_INTEGER: String(value.integer)
    case OPS_JSON_STRING: JSON.string(value.string).text
    default: value.string
    }
  }

  /// A field's value as JSON text, by a name that is not known at compile time.
  public func json(named name: String) -> String? {
    var name = name
    return name.withUTF8 { find(UnsafeRawBufferPointer($0)) }.map(text)
  }

  /// The names of all fields, in their written order.
  public var names: [String] { values.map(\.name) }
}
