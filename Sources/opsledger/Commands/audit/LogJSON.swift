import Crypto
import JSON
import Ledger
import Log

extension LoggedEvent {
  /// The event as JSON text, under the columns of `ledger.events`.
  var json: String {
    var out = JSONObjectWriter()
    write(to: &out)
    return out.finish()
  }

  func write(to out: inout JSONObjectWriter) {
    out.int("entry", entry)
    out.int("index", index)
    out.string("stream", stream.description)
    out.int("version", version)
    out.string("type", type)
    out.string("recorded_at", recordedAt.description)
    out.string("actor", actor)
    out.json("cause", cause.map(JSON.int) ?? .null)
    out.json("command", .optional(command?.description))
    // As they were written, but on one line; and bytes as PostgreSQL prints them.
    out.raw("data", Self.oneLine(data))
    out.raw("content", content.map(Self.oneLine) ?? "null")
    out.json("salt", .optional(salt.map { "\\x" + hexEncoded($0) }))
    out.json("commitment", .optional(commitment.map { "\\x" + hexEncoded($0) }))
  }

  private static func oneLine(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D }) else { return text }
    // Between the tokens of JSON, a line's end is a space like any other; within them there is none.
    return String(text.map { $0.isNewline ? " " : $0 })
  }
}
