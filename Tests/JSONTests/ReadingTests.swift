import JSON
import Testing

@Suite("Reading and printing")
struct ReadingTests {
  @Test(
    "a document in canonical form is printed as it was read",
    arguments: [
      "null", "true", "false", "0", "-1", "1.10", "9223372036854775807", "9223372036854775808",
      "-9223372036854775808", "-9223372036854775809", "123456789012345678901234567890",
      "0.30000000000000004", "\"\"", "\"a\"", "[]", "{}", "[[], {}]", "[1, \"a\", null, true]",
      "{\"a\": 1, \"b\": [2, {\"c\": null}], \"aa\": \"x\"}", "{\"\": 0}", "\"日本語 🧾\"",
      "\"\u{7F}/\"",
      "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\\\\\\"\"",
    ])
  func canonical(text: String) throws {
    let printed = try JSON(parsing: text).text
    #expect(printed.utf8.elementsEqual(text.utf8), "\(printed)")
  }

  /// The right-hand sides were printed by PostgreSQL 15's `SELECT '…'::jsonb`.
  @Test(
    "a document is printed as PostgreSQL prints it",
    arguments: [
      (" { \"b\" :1,\"a\":\t[ ] }\n", "{\"a\": [], \"b\": 1}"),
      ("{\"bb\":1,\"a\":2,\"ab\":3,\"c\":4}", "{\"a\": 2, \"c\": 4, \"ab\": 3, \"bb\": 1}"),
      ("{\"z\":1,\"é\":2,\"aa\":3}", "{\"z\": 1, \"aa\": 3, \"é\": 2}"),
      ("{\"B\":1,\"a\":2,\"_\":3}", "{\"B\": 1, \"_\": 3, \"a\": 2}"),
      ("\"\\u0041\\u00e9\\ud83e\\uddfe\\/\"", "\"Aé🧾/\""),
      ("\"\\u000a\\u001F\\u007f\"", "\"\\n\\u001f\u{7F}\""),
      ("1e5", "100000"), ("1E2", "100"), ("1e+2", "100"), ("1.5e3", "1500"), ("1.50e1", "15.0"),
      ("1e-3", "0.001"), ("-2.5E-2", "-0.025"), ("12345e-2", "123.45"), ("0e5", "0"),
      ("0e-5", "0.00000"), ("0.0e1", "0"), ("0.000e1", "0.00"), ("0.01e3", "10"), ("1e0", "1"),
      ("1.10", "1.10"), ("0.0", "0.0"), ("-0", "0"), ("-0.0", "0.0"), ("-0e-2", "0.00"),
      ("[1e2,-0]", "[100, 0]"), ("{\"a\":10.0e-1}", "{\"a\": 1.00}"),
    ])
  func asPostgreSQL(text: String, printed: String) throws {
    #expect(try JSON(parsing: text).text == printed)
  }

  @Test("of two equal keys the last counts, at every level")
  func duplicateKeys() throws {
    #expect(try JSON(parsing: "{\"a\":1,\"b\":2,\"a\":3}").text == "{\"a\": 3, \"b\": 2}")
    #expect(try JSON(parsing: "[{\"a\":{\"x\":1},\"\\u0061\":null}]").text == "[{\"a\": null}]")
  }

  @Test("one reader reads many documents, also after one that it refused")
  func reuse() throws {
    let reader = JSONReader()
    for round in 0..<50 {
      #expect(throws: JSONError.self) { try reader.parse("{\"a\": [\(round), ") }
      let long = String(repeating: "x", count: round * 37)
      #expect(try reader.parse("[\"\(long)\", \(round)]").text == "[\"\(long)\", \(round)]")
    }
  }

  @Test("values are reached by their kind, and by no other")
  func accessors() throws {
    let document = try JSON(
      parsing: #"{"n": null, "b": true, "i": 7, "d": 1.5, "s": "x", "a": [1], "o": {"k": "v"}}"#)
    #expect(document["n"] == .null)
    #expect(document["b"]?.boolValue == true)
    #expect(document["i"]?.intValue == 7)
    #expect(document["i"]?.doubleValue == 7)
    #expect(document["d"]?.doubleValue == 1.5)
    #expect(document["d"]?.intValue == nil)
    #expect(document["s"]?.stringValue == "x")
    #expect(document["a"]?.arrayValue == [.int(1)])
    #expect(document["o"]?["k"] == .string("v"))
    #expect(document["absent"] == nil)
    #expect(document["s"]?["k"] == nil)
    #expect(document["s"]?.boolValue == nil)
    #expect(document["b"]?.stringValue == nil)
    #expect(document["o"]?.arrayValue == nil)
    #expect(document["a"]?.objectValue == nil)
    #expect(JSON.number("9223372036854775808").intValue == nil)
    #expect(JSON.optional(nil) == .null)
    #expect(JSON.optional("x") == .string("x"))
  }

  @Test("a number too large for floating point is no infinity")
  func noInfinity() throws {
    #expect(try JSON(parsing: "1e400").doubleValue == nil)
    #expect(try JSON(parsing: "-1e400").doubleValue == nil)
  }
}
