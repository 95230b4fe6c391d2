internal import CPostgres

/// What the server says beside its answers. libpq would print it to stderr.
final class NoticeLog {
  struct Fatal {
    let sqlstate: String
    let message: String
  }

  /// Oldest first; the newest `notices` of them.
  private(set) var messages: [String] = []
  /// A farewell: the server sends it as a notice when nothing was asked.
  private(set) var fatal: Fatal?

  private static let messagesMax = 64

  /// The log must outlive the handle.
  func attach(to handle: OpaquePointer) {
    PQsetNoticeReceiver(
      handle,
      { argument, result in
        guard let argument, let result else { return }
        Unmanaged<NoticeLog>.fromOpaque(argument).takeUnretainedValue().take(result)
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  func drain() -> [String] {
    defer { messages = [] }
    return messages
  }

  private func take(_ result: OpaquePointer) {
    let message = resultField(result, .message) ?? ""
    if let severity = resultField(result, .severity), severity == "FATAL" || severity == "PANIC" {
      fatal = Fatal(sqlstate: resultField(result, .sqlstate) ?? "", message: message)
      return
    }
    if messages.count == Self.messagesMax { messages.removeFirst() }
    messages.append(message)
  }
}

/// The fields of an error or notice.
///
/// - Source: postgres_ext.h, PG_DIAG_*; macros of character constants, which Swift does not import.
enum ResultField: UInt8 {
  case severity = 86  // V: never translated.
  case sqlstate = 67  // C
  case message = 77  // M
  case detail = 68  // D
  case hint = 72  // H
  case context = 87  // W
  case schema = 115  // s
  case table = 116  // t
  case column = 99  // c
  case constraint = 110  // n
  case routine = 82  // R
}

func resultField(_ result: OpaquePointer, _ field: ResultField) -> String? {
  PQresultErrorField(result, Int32(field.rawValue)).map { String(cString: $0) }
}
