import CHost
import Glibc

/// What is known of the terminal, if there is one.
public enum Terminal {
  /// Whether a descriptor (1 output, 2 messages) is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Columns of the terminal, or `fallback` where there is none.
  public static func columns(_ descriptor: Int32 = 1, fallback: Int = 80) -> Int {
    let columns = Int(host_terminal_columns(descriptor))
    return columns > 0 ? columns : fallback
  }

  /// Whether to colour: on a terminal that can, unless NO_COLOR is set.
  public static func coloured(_ descriptor: Int32 = 1) -> Bool {
    guard isTerminal(descriptor), getenv("NO_COLOR").map({ $0.pointee == 0 }) ?? true else {
      return false
    }
    return getenv("TERM").map { String(cString: $0) != "dumb" } ?? false
  }

  /// A text with nothing in it that a terminal would obey: what agents wrote is shown, not run.
  public static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": shown += "\\n"
      case "\r": shown += "\\r"
      case "\t": shown += "\\t"
      case _ where isControl(scalar): shown += "\u{FFFD}"
      default: shown.unicodeScalars.append(scalar)
      }
    }
    return shown
  }

  /// Columns that a text takes.
  public static func width(_ text: String) -> Int {
    var utf8 = text.utf8
    if utf8.withContiguousStorageIfAvailable({ $0.allSatisfy { $0 < 0x80 } }) == true {
      return utf8.count
    }
    utf8 = "".utf8
    return text.reduce(0) { $0 + width($1) }
  }

  private static func width(_ character: Character) -> Int {
    guard let scalar = character.unicodeScalars.first else { return 0 }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF, 0x20000...0x3FFFD:
      return 2
    default: break
    }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: return scalar.properties.isEmojiPresentation ? 2 : 1
    }
  }

  /// What a terminal obeys, or what makes a text look like another one: control characters, and the invisible
  /// ones that turn the direction of writing, hide or annotate.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F...0x9F, 0x61C, 0x180E, 0x200B, 0x200E...0x200F, 0x2028...0x202E,
      0x2060...0x206F, 0xFEFF, 0xFFF9...0xFFFB, 0xE0000...0xE007F:
      true
    default: false
    }
  }

  /// The last guard before a terminal: bytes that it would obey, other than the end of a line, as the escapes of
  /// JSON, so that documents stay whole. Texts for people are made ``printable(_:)`` before, which is shorter.
  static func guarded(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0 != "\n" && isControl($0) }) else { return text }
    var shown = ""
    for scalar in text.unicodeScalars {
      guard scalar != "\n", isControl(scalar) else {
        shown.unicodeScalars.append(scalar)
        continue
      }
      for unit in UTF16.encode(scalar).map({ Array($0) }) ?? [] {
        let digits = String(unit, radix: 16)
        shown += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return shown
  }
}
