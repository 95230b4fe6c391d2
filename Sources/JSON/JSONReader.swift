internal import CSimdJSON

/// Why a text is not a document that PostgreSQL's `jsonb` would take.
public struct JSONError: Error, Equatable, Sendable {
  public let reason: String

  public init(reason: String) { self.reason = reason }
}

/// Reads JSON with simdjson. Holds its buffers, so keep one and use it for many documents; it serves
/// one thread at a time.
public final class JSONReader {
  private let parser: OpaquePointer?

  public init() { parser = ops_json_parser_new() }

  deinit { ops_json_parser_free(parser) }

  /// Reads and checks a whole document.
  ///
  /// - Throws: ``JSONError`` for what `jsonb` refuses: malformed text, bad UTF-8, `\u0000`, lone
  ///   surrogates, numbers out of `numeric`'s range; for more than 256 levels of nesting; and for
  ///   keys of one object that are different bytes but the same characters, which `jsonb` keeps
  ///   apart and a dictionary cannot.
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
  /// - Returns: Fields that are good until this reader's next call; nil where it is no object.
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
  /// How many digits numbers with exponents have grown by: a few bytes can stand for 131,072.
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
          throw JSONError(reason: "two keys of an object differ in bytes and not in characters")
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

  /// A number as `numeric` prints it: without an exponent, and zero without a sign.
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
      throw JSONError(reason: "its numbers, written without exponents, are too long")
    }
    let isNegative = parts[0].utf8.first == UInt8(ascii: "-")
    let whole = isNegative ? parts[0].dropFirst() : parts[0]
    let isZero = !mantissaAndExponent[0].utf8.contains { (0x31...0x39).contains($0) }
    guard mantissaAndExponent.count > 1 || isZero && isNegative else { return text }
    return (isNegative && !isZero ? "-" : "")
      + Self.shifted(Array((whole + fraction).utf8), point: whole.utf8.count + exponent)
  }

  /// Digits with the point before the one at `point`, which may lie outside of them.
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
  fileprivate var string: String {
    String(
      decoding: UnsafeRawBufferPointer(start: UnsafeRawPointer(text), count: Int(text_length)),
      as: UTF8.self)
  }
}

/// The top-level fields of one recorded object. Good until its reader's next call.
public struct JSONFields {
  let values: UnsafeBufferPointer<ops_json_value>

  /// No fields at all.
  public static var none: JSONFields {
    JSONFields(values: UnsafeBufferPointer(start: nil, count: 0))
  }

  /// What a field holds.
  public enum Kind { case absent, null, bool, integer, number, string, object, array }

  private func find(_ key: StaticString) -> ops_json_value? {
    let length = key.utf8CodeUnitCount
    for value in values where Int(value.key_length) == length {
      // Of two equal keys the last counts in jsonb; recorded payloads have none twice.
      if memoryEqual(value.key, key.utf8Start, length) { return value }
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

  /// The text of a string field.
  public func string(_ key: StaticString) -> String? {
    guard let value = find(key), value.kind == OPS_JSON_STRING.rawValue else { return nil }
    return value.string
  }

  /// A string field's bytes through `body`, without a copy.
  public func withString<R>(_ key: StaticString, _ body: (UnsafeRawBufferPointer) -> R?) -> R? {
    guard let value = find(key), value.kind == OPS_JSON_STRING.rawValue else { return nil }
    return body(
      UnsafeRawBufferPointer(start: UnsafeRawPointer(value.text), count: Int(value.text_length)))
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

  /// A field's value as JSON text: nested values as they were written.
  public func json(_ key: StaticString) -> String? {
    find(key).map(text)
  }

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

  /// A field's value as JSON text, by a name that is known only now.
  public func json(named name: String) -> String? {
    var name = name
    let index = name.withUTF8 { bytes in
      values.firstIndex {
        Int($0.key_length) == bytes.count && memoryEqual($0.key, bytes.baseAddress, bytes.count)
      }
    }
    return index.map { text(values[$0]) }
  }

  /// The names of all fields, in the order in which they were written.
  public var names: [String] {
    values.map { value in
      String(
        decoding: UnsafeRawBufferPointer(
          start: UnsafeRawPointer(value.key), count: Int(value.key_length)),
        as: UTF8.self)
    }
  }
}

private func memoryEqual(
  _ a: UnsafePointer<CChar>?, _ b: UnsafePointer<UInt8>?, _ length: Int
) -> Bool {
  guard let a, let b else { return length == 0 }
  let bytes = UnsafeRawPointer(a)
  for index in 0..<length
  where bytes.load(fromByteOffset: index, as: UInt8.self) != b[index] {
    return false
  }
  return true
}
