import Host
import Ledger

extension OpsError {
  /// What was typed, or set, is not of its form.
  static func badInput(_ message: String, hint: String? = nil) -> OpsError {
    OpsError(.badInput, message, hint: hint)
  }

  /// A database is out of reach, or there is none.
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

  /// The lines that a person, or a script, reads on stderr.
  var report: String {
    let first = "error \(code.rawValue): \(Terminal.printable(message))\n"
    return hint.map { first + "hint: \(Terminal.printable($0))\n" } ?? first
  }
}

/// Runs what throws the machine's errors where the ledger's are wanted.
@discardableResult
func onHost<Answer>(_ body: () throws(HostError) -> Answer) throws(OpsError) -> Answer {
  do { return try body() } catch { throw OpsError(error) }
}
