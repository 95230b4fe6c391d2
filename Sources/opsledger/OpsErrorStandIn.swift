// Stands in for module Ledger's type of the same name and shape until that is merged.

struct OpsError: Error, Equatable, Sendable {
  enum Code: String, CaseIterable, Sendable {
    case databaseUnreachable = "OPS_001"
    case notFound = "OPS_011"
    case badInput = "OPS_019"

    var exitCode: Int32 {
      switch self {
      case .databaseUnreachable: 3
      case .notFound: 1
      case .badInput: 2
      }
    }
  }

  let code: Code
  let message: String
  let hint: String?
  let facts: [String: String]

  init(code: Code, message: String, hint: String? = nil, facts: [String: String] = [:]) {
    self.code = code
    self.message = message
    self.hint = hint
    self.facts = facts
  }
}
