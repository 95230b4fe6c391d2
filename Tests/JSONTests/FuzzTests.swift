import JSON
import TestSupport
import Testing

@Suite("Random documents")
struct FuzzTests {
  @Test("a document survives printing and reading", arguments: Seeds.some(30))
  func survives(seed: UInt64) throws {
    var generator = Generator(seed: seed)
    let reader = JSONReader()
    for _ in 0..<100 {
      let text = generator.json(depth: 6).text
      let again = try reader.parse(text).text
      #expect(again.utf8.elementsEqual(text.utf8))
    }
  }

  @Test("how a document is spaced and escaped changes nothing", arguments: Seeds.some(30))
  func spelling(seed: UInt64) throws {
    var generator = Generator(seed: seed)
    for _ in 0..<50 {
      let document = generator.json(depth: 5)
      let spelled = generator.spell(document)
      let printed = try JSON(parsing: spelled).text
      #expect(printed.utf8.elementsEqual(document.text.utf8), "\(spelled)")
    }
  }

  @Test("a damaged document is read or refused, and what is read prints and reads again")
  func damaged() throws {
    for seed in Seeds.some(30) {
      var generator = Generator(seed: seed)
      let reader = JSONReader()
      for _ in 0..<100 {
        var bytes = Array(generator.json(depth: 3).text.utf8)
        for _ in 0..<(1 + generator.below(3)) where !bytes.isEmpty {
          let at = generator.below(bytes.count)
          switch generator.below(3) {
          case 0: bytes.remove(at: at)
          case 1: bytes.insert(generator.pick(Array(#"{}[]":,\0-e. u"#.utf8)), at: at)
          default: bytes = Array(bytes[..<at])
          }
        }
        guard let document = try? reader.parse(String(decoding: bytes, as: UTF8.self)) else {
          continue
        }
        #expect(try reader.parse(document.text).text == document.text, "seed \(seed)")
      }
    }
  }
}

extension Generator {
  /// The same document in another spelling: other spacing, keys in any order, characters escaped.
  fileprivate mutating func spell(_ document: JSON) -> String {
    switch document {
    case .null, .bool, .number: space() + document.text + space()
    case .string(let text): space() + escape(text) + space()
    case .array(let elements):
      "[" + (elements.isEmpty ? space() : elements.map { spell($0) }.joined(separator: ",")) + "]"
    case .object(let members):
      "{"
        + (members.isEmpty
          ? space()
          : members.keys.shuffled(using: &self).map { key in
            space() + escape(key) + space() + ":" + spell(members[key] ?? .null)
          }.joined(separator: ",")) + "}"
    }
  }

  private mutating func space() -> String { pick(["", "", " ", "\n", "\t", "\r\n  "]) }

  private mutating func escape(_ text: String) -> String {
    guard flip() else { return JSON.string(text).text }
    return "\""
      + text.utf16.map { unit in
        let digits = String(unit, radix: 16, uppercase: flip())
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }.joined() + "\""
  }
}
