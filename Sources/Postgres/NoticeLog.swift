internal import CPostgres

/// Receives the server's notices, which libpq would print to stderr. It keeps only a fatal one.
final class NoticeLog {
  struct Fatal {
    let sqlstate: String
    let message: String
  }

  /// The reason why the server ended the connection. It sends the reason as a notice if no statement runs.
  private(set) var fatal: Fatal?

  /// The log must outlive the handle.
  func attach(to handle: OpaquePointer) {
    PQsetNoticeReceiver(
      handle,
      { argument, result in
        guard let argument, let result else { return }
        Unmanaged<NoticeLog>.fromOpaque(argument).takeUnretainedValue().take(result)
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  private func take(_ result: OpaquePointer) {
    guard let severity = resultField(result, .severity), isFatal(severity) else { return }
    fatal = Fatal(
      sqlstate: resultField(result, .sqlstate) ?? "", message: resultField(result, .message) ?? "")
  }
}

/// Whether the server ends the connection with an error of this severity.
func isFatal(_ severity: String) -> Bool { severity == "FATAL" || severity == "PANIC" }

/// The fields of an error or notice.
///
/// - Source: postgres_ext.h, PG_DIAG_*. Swift does not import macros of character constants.
enum ResultField: UInt8 {
  case severity = 86  // V: never translated.
  case sqlstate = 67  // C
  case message = 77  // M
  case detail = 68  // D
  case hint = 72  // H
  case schema = 115  // s
  case table = 116  // t
  case constraint = 110  // n
  case routine = 82  // R
}

func resultField(_ result: OpaquePointer, _ field: ResultField) -> String? {
  PQresultErrorField(result, Int32(field.rawValue)).map { String(cString: $0) }
}
