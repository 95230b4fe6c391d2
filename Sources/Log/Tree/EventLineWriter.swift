private import Crypto
private import Ledger

extension LoggedEvent {
  /// Appends the event as a line of `COPY ledger.events TO` in text format, with its newline; see ``EventLineReader``.
  public func writeLine(to bytes: inout [UInt8]) {
    func column(_ text: String?) {
      if let text { CopyText.escape(text, into: &bytes) } else { bytes += CopyText.null }
      bytes.append(9)
    }
    func column(raw value: (some CustomStringConvertible)?) {
      bytes += value.map { Array($0.description.utf8) } ?? CopyText.null
      bytes.append(9)
    }
    func column(_ value: [UInt8]?) {
      bytes += value.map { Array((#"\\x"# + hexEncoded($0)).utf8) } ?? CopyText.null
      bytes.append(9)
    }
    column(raw: entry)
    column(raw: index)
    column(raw: stream)
    column(raw: version)
    column(type)
    column(raw: CopyText.timestamp(recordedAt))
    column(actor)
    column(raw: cause)
    column(raw: command)
    column(data)
    column(content)
    column(salt)
    column(commitment)
    bytes[bytes.count - 1] = UInt8(ascii: "\n")
  }
}
