import JSON
import Testing

@Suite("Fields of a recorded object")
struct FieldsTests {
  static let text =
    #"{"n": null, "t": true, "f": false, "i": -42, "big": 9223372036854775808, "d": 1.10, "#
    + #""s": "a\n\"é\"", "o": {"x": [1,  2]}, "a": [ 1,"]" ], "é": 1, "": "empty"}"#

  private func read<T>(_ text: String, _ body: (JSONFields) throws -> T) throws -> T {
    let reader = JSONReader()
    return try Array(text.utf8).withUnsafeBytes { bytes in
      try body(try #require(reader.fields(bytes)))
    }
  }

  @Test("every field has its kind")
  func kinds() throws {
    try read(Self.text) { fields in
      #expect(fields.kind("n") == .null)
      #expect(fields.kind("t") == .bool)
      #expect(fields.kind("f") == .bool)
      #expect(fields.kind("i") == .integer)
      #expect(fields.kind("big") == .number)
      #expect(fields.kind("d") == .number)
      #expect(fields.kind("s") == .string)
      #expect(fields.kind("o") == .object)
      #expect(fields.kind("a") == .array)
      #expect(fields.kind("absent") == .absent)
      #expect(fields.kind("") == .string)
      #expect(fields.names == ["n", "t", "f", "i", "big", "d", "s", "o", "a", "é", ""])
    }
  }

  @Test("a field is read as what it is, and as nothing else")
  func values() throws {
    try read(Self.text) { fields in
      #expect(fields.string("s") == "a\n\"é\"")
      #expect(fields.string("i") == nil)
      #expect(fields.int("i") == -42)
      #expect(fields.int("big") == nil)
      #expect(fields.int("d") == nil)
      #expect(fields.int("s") == nil)
      #expect(fields.bool("t") == true)
      #expect(fields.bool("f") == false)
      #expect(fields.bool("n") == nil)
      #expect(fields.string("absent") == nil)
      #expect(fields.withString("s") { $0.count } == 6)
      #expect(fields.withString("o") { $0.count } == nil)
    }
  }

  @Test("a nested value keeps its text, and a scalar prints as JSON")
  func texts() throws {
    try read(Self.text) { fields in
      #expect(fields.json("o") == #"{"x": [1,  2]}"#)
      #expect(fields.json("a") == #"[ 1,"]" ]"#)
      #expect(fields.json("n") == "null")
      #expect(fields.json("t") == "true")
      #expect(fields.json("i") == "-42")
      #expect(fields.json("big") == "9223372036854775808")
      #expect(fields.json("d") == "1.10")
      #expect(fields.json("s") == #""a\n\"é\"""#)
      #expect(fields.json("absent") == nil)
      #expect(fields.json(named: "é") == "1")
      #expect(fields.json(named: "e\u{301}") == nil)
      #expect(fields.json(named: "") == "\"empty\"")
    }
  }

  @Test("an empty object has no fields, and what is no object gives none")
  func noFields() throws {
    try read("{}") { #expect($0.names.isEmpty) }
    #expect(JSONFields.none.names.isEmpty)
    #expect(JSONFields.none.kind("a") == .absent)
    let reader = JSONReader()
    for text in ["", "[]", "1", "null", "\"a\"", "{", "{\"a\" 1}", "{\"a\": 01}"] {
      #expect(Array(text.utf8).withUnsafeBytes { reader.fields($0) == nil }, "\(text)")
    }
  }

  @Test("an object written member by member reads back")
  func writer() throws {
    var writer = JSONObjectWriter()
    #expect(writer.isEmpty)
    writer.string("s", "a\"\u{1}")
    writer.int("i", Int64.min)
    writer.bool("b", false)
    writer.raw("r", "[1]")
    writer.json("j", .object(["k": .null]))
    #expect(!writer.isEmpty)
    let text = writer.finish()
    #expect(
      text
        == #"{"s": "a\"\u0001", "i": -9223372036854775808, "b": false, "r": [1], "j": {"k": null}}"#
    )
    try read(text) { #expect($0.int("i") == .min) }
    #expect(JSONObjectWriter().finish() == "{}")
  }
}
