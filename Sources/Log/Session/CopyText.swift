internal import Glibc
internal import Ledger

/// The text format of COPY, as `COPY … TO` writes it.
///
/// - Source: PostgreSQL documentation, COPY, "Text Format".
enum CopyText {
  static let null = Array(#"\N"#.utf8)

  static func escape(_ text: String, into bytes: inout [UInt8]) {
    var text = text
    text.withUTF8 { utf8 in
      var from = 0
      for at in utf8.indices {
        guard let letter = letter(of: utf8[at]) else { continue }
        bytes.append(contentsOf: utf8[from..<at])
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(letter)
        from = at + 1
      }
      bytes.append(contentsOf: utf8[from...])
    }
  }

  /// The letter that stands for this byte after a backslash; nil for a byte that is written as it is.
  private static func letter(of byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "\\"): byte
    case 10: UInt8(ascii: "n")
    case 9: UInt8(ascii: "t")
    case 13: UInt8(ascii: "r")
    case 8: UInt8(ascii: "b")
    case 12: UInt8(ascii: "f")
    case 11: UInt8(ascii: "v")
    default: nil
    }
  }

  /// The byte that a letter after a backslash stands for; nil for an escape that COPY TO does not write.
  static func unescaped(_ letter: UInt8) -> UInt8? {
    switch letter {
    case UInt8(ascii: "\\"): letter
    case UInt8(ascii: "n"): 10
    case UInt8(ascii: "t"): 9
    case UInt8(ascii: "r"): 13
    case UInt8(ascii: "b"): 8
    case UInt8(ascii: "f"): 12
    case UInt8(ascii: "v"): 11
    default: nil
    }
  }

  /// `2026-11-24 18:46:22.123456+00`; the fraction has no zeros at its end.
  static func timestamp(_ time: Instant) -> String {
    if time.micros == .max { return "infinity" }
    if time.micros == .min { return "-infinity" }
    var text = Array(time.description.utf8.dropLast())
    // A year has four digits or more.
    if let letter = text[10...].firstIndex(of: UInt8(ascii: "T")) {
      text[letter] = UInt8(ascii: " ")
    }
    while text.last == UInt8(ascii: "0") { text.removeLast() }
    if text.last == UInt8(ascii: ".") { text.removeLast() }
    return String(decoding: text, as: UTF8.self) + "+00"
  }
}
