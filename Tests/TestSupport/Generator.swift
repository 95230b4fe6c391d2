public import JSON

/// A source of test data that gives the same values for the same seed.
public struct Generator: RandomNumberGenerator, Sendable {
  private var state: UInt64
  /// Whether everything optional is present.
  public var isFull = false

  public init(seed: UInt64) { state = seed }

  /// - Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// From 0 up to, but not including, `count`.
  public mutating func below(_ count: Int) -> Int { Int(next() % UInt64(count)) }

  public mutating func flip() -> Bool { next() & 1 == 0 }

  public mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

  /// A value half of the time; always where ``isFull``.
  public mutating func maybe<T>(_ make: (inout Generator) -> T) -> T? {
    isFull || flip() ? make(&self) : nil
  }
}

// MARK: - Text

extension Generator {
  /// Text as people and programs write it at their worst; never with U+0000, which no column holds.
  public mutating func text() -> String {
    switch below(8) {
    case 0: pick(Generator.hardTexts)
    case 1: String(repeating: pick(Generator.hardTexts), count: below(200))
    case 2: String(String.UnicodeScalarView((0..<below(12)).map { _ in scalar() }))
    default: word()
    }
  }

  public mutating func word() -> String {
    String((0..<(1 + below(10))).map { _ in pick(Array("abcdefghijklmnopqrstuvwxyz_:- 0123")) })
  }

  private mutating func scalar() -> Unicode.Scalar {
    while true {
      let limit = pick([0x7F, 0x7FF, 0xFFFF, 0x10FFFF])
      if let scalar = Unicode.Scalar(UInt32(1 + below(limit))) { return scalar }
    }
  }

  public static let hardTexts = [
    "", " ", "\"", "\\", "\\\"", "\\u0041", "\u{1}\u{1F}\u{7F}", "\t\r\n\u{8}\u{C}", "/",
    "null", "{\"json\": null}", "[erased]", "{\"erased\": true}", "é", "e\u{301}", "ﬁ", "日本語",
    "🧾👩‍👩‍👧", "\u{202E}abc", "\u{2028}\u{2029}", "\u{FEFF}", "\u{FFFD}\u{FFFF}", "\u{10FFFF}", "'; --",
    "{{ event.data }}", "\r\n", "%s%n", "a\u{300}\u{301}",
  ]
}

// MARK: - JSON

extension Generator {
  /// A document in which every number is written as `jsonb` writes it.
  public mutating func json(depth: Int = 4) -> JSON {
    switch below(depth > 0 ? 9 : 6) {
    case 0: .null
    case 1: .bool(flip())
    case 2, 3: .number(number())
    case 4, 5: .string(text())
    case 6: .array((0..<below(5)).map { _ in json(depth: depth - 1) })
    default: .object(members(depth: depth - 1))
    }
  }

  /// An object, as most json columns hold.
  public mutating func object() -> JSON { .object(members(depth: 3)) }

  private mutating func members(depth: Int) -> [String: JSON] {
    var members: [String: JSON] = [:]
    for _ in 0..<below(6) { members[flip() ? text() : word()] = json(depth: depth) }
    return members
  }

  private mutating func number() -> String {
    switch below(8) {
    case 0: pick(["0", "-1", "1.10", "0.000", "-0.5", "100", "9223372036854775807"])
    case 1: pick(["9223372036854775808", "-9223372036854775808", "-9223372036854775809"])
    case 2: String(1 + below(9)) + String(repeating: "0123456789", count: below(20))
    case 3: "\(below(1000)).\(String(repeating: "3", count: 1 + below(30)))"
    default: String(Int64(truncatingIfNeeded: next()) >> Int64(below(64)))
    }
  }

  /// The text of any document: what a json column may hold, JSON null and `{"json": …}` among it.
  public mutating func jsonText() -> String {
    switch below(10) {
    case 0: "null"
    case 1: pick([#"{"json": null}"#, #"{"json": {"json": null}}"#, #"{"json": [1, 2]}"#])
    case 2: pick([#"{"erased": true}"#, "{}", "[]", #""""#, "0", #"{"json": 1, "kind": 2}"#])
    case 3: json().text
    default: object().text
    }
  }
}
