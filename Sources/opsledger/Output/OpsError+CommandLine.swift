import Host
import Ledger

extension OpsError {
  /// Something that was typed, or a setting, has the wrong form.
  static func badInput(_ message: String, hint: String? = nil) -> OpsError {
    OpsError(.badInput, message, hint: hint)
  }

  /// A database cannot be reached, or none is named.
  static func noDatabase(_ message: String, hint: String? = nil) -> OpsError {
    OpsError(.databaseUnreachable, message, hint: hint)
  }

  init(_ error: HostError) {
    let code: Code =
      switch error.kind {
      case .unusable: .databaseUnreachable
      case .malformed: .badInput
      }
    self.init(code, error.message, hint: error.hint)
  }

  /// The lines for stderr.
  var report: String {
    let first = "error \(code.rawValue): \(Terminal.printable(message))\n"
    return hint.map { first + "hint: \(Terminal.printable($0))\n" } ?? first
  }
}

/// Turns errors of the machine into errors of the ledger.
@discardableResult
func onHost<Answer>(_ body: () throws(HostError) -> Answer) throws(OpsError) -> Answer {
  do { return try body() } catch { throw OpsError(error) }
}
