import Crypto
import JSON
import Ledger
import Log

extension LoggedEvent {
  /// The event under the columns of `ledger.events`.
  func write(to out: inout JSONObjectWriter) {
    out.int("entry", entry)
    out.int("index", index)
    out.string("stream", stream.description)
    out.int("version", version)
    out.string("type", type)
    out.string("recorded_at", recordedAt.description)
    out.string("actor", actor)
    out.optional("cause", cause)
    out.optional("command", command?.description)
    // Each on one line, and otherwise as they were written. Bytes as PostgreSQL prints them.
    out.raw("data", Self.oneLine(data))
    out.raw("content", content.map(Self.oneLine) ?? "null")
    out.optional("salt", salt.map { "\\x" + hexEncoded($0) })
    out.optional("commitment", commitment.map { "\\x" + hexEncoded($0) })
  }

  private static func oneLine(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D }) else { return text }
    // JSON has line breaks between tokens only, where they mean the same as spaces.
    return String(text.map { $0.isNewline ? " " : $0 })
  }
}
