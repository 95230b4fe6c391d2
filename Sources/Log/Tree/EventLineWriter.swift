private import Crypto
private import Ledger

extension LoggedEvent {
  /// Writes the event as `COPY ledger.events TO` in text format does, with its newline; see
  /// ``EventLineReader``.
  public func writeLine(to bytes: inout [UInt8]) {
    func column(_ text: String?) {
      if let text { Self.escape(text, into: &bytes) } else { bytes += Self.null }
      bytes.append(9)
    }
    func column(raw value: (some CustomStringConvertible)?) {
      bytes += value.map { Array($0.description.utf8) } ?? Self.null
      bytes.append(9)
    }
    func column(_ value: [UInt8]?) {
      bytes += value.map { Array((#"\\x"# + hexEncoded($0)).utf8) } ?? Self.null
      bytes.append(9)
    }
    column(raw: entry)
    column(raw: index)
    column(raw: stream)
    column(raw: version)
    column(type)
    column(raw: Self.timestamp(recordedAt))
    column(actor)
    column(raw: cause)
    column(raw: command)
    column(data)
    column(content)
    column(salt)
    column(commitment)
    bytes[bytes.count - 1] = UInt8(ascii: "\n")
  }

  private static let null = Array(#"\N"#.utf8)

  private static func escape(_ text: String, into bytes: inout [UInt8]) {
    for byte in text.utf8 {
      let letter: Unicode.Scalar
      switch byte {
      case UInt8(ascii: "\\"): letter = "\\"
      case 10: letter = "n"
      case 9: letter = "t"
      case 13: letter = "r"
      case 8: letter = "b"
      case 12: letter = "f"
      case 11: letter = "v"
      default:
        bytes.append(byte)
        continue
      }
      bytes.append(UInt8(ascii: "\\"))
      bytes.append(UInt8(ascii: letter))
    }
  }

  /// `2026-11-24 18:46:22.123456+00`, the fraction without zeros at its end.
  private static func timestamp(_ time: Instant) -> String {
    var text = Array(time.description.utf8.dropLast())
    text[10] = UInt8(ascii: " ")
    while text.last == UInt8(ascii: "0") { text.removeLast() }
    if text.last == UInt8(ascii: ".") { text.removeLast() }
    return String(decoding: text, as: UTF8.self) + "+00"
  }
}
