import Ledger
import TestSupport
import Testing

/// The row types declare the event types. Whoever adds one completes what the compiler asks for, and no text that was
/// typed manually stays behind.
@Suite("The catalogue of event types")
struct CatalogueTests {
  private static let types = Set(RowType.allCases.flatMap { $0.sampled.types })
  private static let ends = Set(types.map { "." + $0.split(separator: ".")[1] })
  private static let beginnings = Set(RowType.allCases.map { $0.rawValue + "." })

  @Test("the name of each type is read back, and no other")
  func names() {
    for name in Self.types {
      #expect(EventType(name) != nil, "\(name)")
      #expect(EventType(name + "s") == nil)
      #expect(EventType("x." + name) == nil)
    }
    for rowType in RowType.allCases {
      let common = CommonKind.allCases.filter {
        EventType("\(rowType.rawValue).\($0)")?.common == $0
      }
      #expect(common.count == (rowType == .ledger ? 3 : 6))
      #expect(RowType(ofType: "\(rowType.rawValue).invented") == rowType)
      #expect(EventType("\(rowType.rawValue).invented") == nil)
    }
    for odd in ["", ".", "step", "step.", ".leased", "Step.leased", "step.leased ", "é.leased"] {
      #expect(EventType(odd) == nil, "\(odd)")
    }
    #expect(EventType(Step.eventType(.leased)) == .step(.own(.leased)))
    #expect(EventType(LedgerRecord.eventType(.restored)) == .ledger(.own(.restored)))
  }

  @Test("a payload that is no object is unreadable")
  func noObject() throws {
    for odd in ["", "null", "[]", "7", "\"x\"", "{", "{\"worker\"", "{}\u{0}"] {
      #expect(throws: Unreadable.self, "\(odd)") {
        try StreamEvent<Step>(.own(.leased), data: odd, content: nil)
      }
    }
    #expect(throws: Unreadable.self) {
      try StreamEvent<Step>(.own(.requeued), data: "{}", content: "[]")
    }
  }

  @Test("no Swift but the catalogue's own spells the name of an event type")
  func spelled() throws {
    for file in try Repository.files(in: ["Sources"], endingIn: ".swift") {
      for literal in SwiftLiterals.all(in: try Repository.read(file)) {
        for name in Self.named(in: literal.text) {
          Issue.record("\(file):\(literal.line) spells \(name): Row.eventType says it")
        }
      }
    }
  }

  @Test(
    "a name is found wherever it may stand",
    arguments: [
      (#"case "step.leased": 1"#, ["step.leased"]),
      (#"f("e.type IN ('run.failed', 'hold.placed')")"#, ["hold.placed", "run.failed"]),
      (#"f("LIKE '%.erased'")"#, [".erased"]), (#"f("LIKE 'mission.%'")"#, ["mission."]),
      (#"f("\(row_type).archived")"#, [".archived"]), (#"f("--type 'step.*'")"#, ["step."]),
      ("f(\"\"\"\n  a \"quoted\" agent_event.reported\n  \"\"\")", ["agent_event.reported"]),
      (##"f(#"a "b" policy.set"#)"##, ["policy.set"]),
      ("// step.leased\nlet x = step.leased", []), (#"f("\(step.leased) ")"#, []),
      (#"f("\(g("step.leased"))")"#, ["step.leased"]),
      (#"f("ledger.holds, my_step.leased, ledger.%s")"#, []),
    ])
  func finds(swift: String, names: [String]) {
    let found = SwiftLiterals.all(in: swift).flatMap { Self.named(in: $0.text) }
    #expect(Set(found) == Set(names))
  }

  /// Names of types; of `mission.%` and `%.erased` the part that is there.
  private static func named(in text: [UInt8]) -> [String] {
    var found: [String] = []
    for dot in text.indices where text[dot] == UInt8(ascii: ".") {
      var (start, end) = (dot, dot + 1)
      while start > 0, isPart(text[start - 1]) { start -= 1 }
      while end < text.count, isPart(text[end]) { end += 1 }
      let name = String(decoding: text[start..<end], as: UTF8.self)
      let isNamed =
        if start < dot, end > dot + 1 {
          types.contains(name)
        } else if end > dot + 1 {
          ends.contains(name)
        } else {
          beginnings.contains(name) && ["*", "%'"].contains { text[end...].starts(with: $0.utf8) }
        }
      if isNamed { found.append(name) }
    }
    return found
  }

  /// Of what SQL and Swift take for a name.
  private static func isPart(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
