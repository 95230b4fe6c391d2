import JSON
import Testing

@Suite("What jsonb refuses is refused")
struct RefusalTests {
  @Test(
    "malformed text is refused",
    arguments: [
      "", " ", "nul", "tru", "True", "NULL", "undefined", "NaN", "Infinity", "-Infinity", "'a'",
      "{", "[", "}", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
      "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "\"", "\"a", "\"\\\"", "\"\\x\"",
      "\"\\u12\"", "\"\\u12G4\"", "\"a\nb\"", "\"a\tb\"", "\"\u{1}\"", "// c\n1", "/* c */ 1", ":",
      ",",
    ])
  func malformed(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
    #expect(throws: JSONError.self) { try JSON(parsing: "{\"a\": \(text), \"b\": \(text)}") }
  }

  @Test(
    "numbers that are short only by their exponents are refused where they grow beyond a megabyte")
  func growing() throws {
    func array(_ number: String, _ count: Int) -> String {
      "[" + Array(repeating: number, count: count).joined(separator: ",") + "]"
    }
    for number in ["1e131000", "-1E131000", "1e-16000"] {
      #expect(throws: JSONError.self) { try JSON(parsing: array(number, 500)) }
      _ = try JSON(parsing: array(number, 2))
    }
    _ = try JSON(parsing: array("1.5e3", 10_000))
  }

  @Test(
    "text after the document is refused",
    arguments: [
      "{} {}", "1 2", "null,", "[]]", "{}}", "\"a\" \"b\"", "true false", "1x", "nullx",
      "1,2", "1],[2", "1][", "{}],[{}",
    ])
  func trailing(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
  }

  @Test(
    "a number that is not written as JSON writes numbers is refused, alone and inside",
    arguments: [
      "01", "-01", "00", "1.", ".5", "-.5", "+1", "-", "--1", "1e", "1e+", "1.e5", "1e1.5", "0x10",
      "1_000", "1,5", "١", "1f", "1.2.3", "NaN", "-NaN", "Infinity",
    ])
  func numbers(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
    #expect(throws: JSONError.self) { try JSON(parsing: "{\"a\": \(text)}") }
    if text != "1,5" { #expect(throws: JSONError.self) { try JSON(parsing: "[\(text)]") } }
  }

  @Test(
    "a number out of numeric's range is refused",
    arguments: [
      "1e131072", "1e400000", "-1e400000", "1e-16384", "1e99999999999999999999",
      "1E+9223372036854775808", "1e-99999999999999999999",
      "1e-9223372036854775808", "1e9223372036854775807", "-0e-9223372036854775808",
      "1" + String(repeating: "0", count: 131_072),
      "0." + String(repeating: "0", count: 16_383) + "1",
    ])
  func range(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
    #expect(throws: JSONError.self) { try JSON(parsing: "{\"a\": [\(text)]}") }
  }

  @Test(
    "U+0000 is refused in values and in keys",
    arguments: ["\"\\u0000\"", "[\"a\\u0000b\"]", "{\"\\u0000\": 1}", "{\"a\": {\"b\\u0000\": 1}}"])
  func zero(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
  }

  @Test(
    "half of a surrogate pair is refused in values and in keys",
    arguments: [
      "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"\\ud800\\n\"", "\"\\ud800\\u0041\"",
      "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"", "\"\\udbff\"", "\"\\udfff\"", "{\"\\ud83d\": 1}",
      "{\"a\": [\"\\ud83d\"]}",
    ])
  func surrogates(text: String) {
    #expect(throws: JSONError.self) { try JSON(parsing: text) }
  }

  @Test("a byte order mark is refused")
  func byteOrderMark() {
    #expect(throws: JSONError.self) { try JSON(parsing: "\u{FEFF}{}") }
  }

  @Test("256 levels are read, and one more is refused, of arrays and of objects")
  func depth() throws {
    func arrays(_ levels: Int) -> String {
      String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
    }
    func objects(_ levels: Int) -> String {
      String(repeating: "{\"a\": ", count: levels - 1) + "{}"
        + String(repeating: "}", count: levels - 1)
    }
    #expect(try JSON(parsing: arrays(256)).text == arrays(256))
    #expect(try JSON(parsing: objects(256)).text == objects(256))
    for text in [arrays(257), objects(257), arrays(100_000), objects(100_000)] {
      #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }
    #expect(throws: JSONError.self) {
      try JSON(parsing: String(repeating: "[", count: 1_000_000))
    }
  }

  @Test("bad UTF-8 makes no fields")
  func badUTF8() {
    let reader = JSONReader()
    for bytes: [UInt8] in [
      [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82],
    ] {
      let text = Array("{\"a\": \"".utf8) + bytes + Array("\"}".utf8)
      #expect(text.withUnsafeBytes { reader.fields($0) == nil })
    }
  }

  @Test("two keys that only Swift takes for one are refused, not merged")
  func equivalentKeys() throws {
    #expect(throws: JSONError.self) { try JSON(parsing: "{\"é\": 1, \"e\u{301}\": 2}") }
    #expect(throws: JSONError.self) { try JSON(parsing: "[{\"a\": 1, \"é\": 1, \"e\\u0301\": 2}]") }
    #expect(try JSON(parsing: "{\"é\": 1, \"\\u00e9\": 2}").text == "{\"é\": 2}")
  }
}
