/// A refusal or a failure: a code that is a promise, a sentence that may improve, and the facts.
///
/// The sentence says what happened and to which thing, the hint what to do. Neither holds secrets.
public struct OpsError: Error, Equatable, Sendable {
  /// The runbook's ten codes and the design's. Never renamed, never used for something else.
  public enum Code: String, CaseIterable, Sendable {
    case databaseUnreachable = "OPS_001"
    case policyNotFound = "OPS_002"
    case gateRefused = "OPS_003"
    case templateInvalid = "OPS_004"
    case executorNotFound = "OPS_005"
    case claimLost = "OPS_006"
    case executionFailed = "OPS_007"
    case patternInvalid = "OPS_008"
    case autoApprovalFailed = "OPS_009"
    case tooManyStaleSteps = "OPS_010"
    case notFound = "OPS_011"
    case conflict = "OPS_012"
    case notAllowed = "OPS_013"
    case schemaMismatch = "OPS_014"
    case storeDiverged = "OPS_015"
    case inconsistentRow = "OPS_016"
    case halted = "OPS_017"
    case erased = "OPS_018"
    case badInput = "OPS_019"

    /// The one table from a code to the process's exit code: 1 the answer is no, 2 it could not be
    /// read as a command, 3 something around us is missing.
    public var exitCode: Int32 {
      switch self {
      case .databaseUnreachable, .schemaMismatch: 3
      case .badInput: 2
      case .policyNotFound, .gateRefused, .templateInvalid, .executorNotFound, .claimLost,
        .executionFailed, .patternInvalid, .autoApprovalFailed, .tooManyStaleSteps, .notFound,
        .conflict, .notAllowed, .storeDiverged, .inconsistentRow, .halted, .erased:
        1
      }
    }
  }

  public let code: Code
  public let message: String
  public let hint: String?
  /// Names of rows, versions and files for whoever reads it. Code decides by ``code`` and ``cause``.
  public let facts: [String: String]
  public let cause: Cause?

  /// - Parameter facts: Beside those of the cause.
  public init(
    _ code: Code, _ message: String, hint: String? = nil, facts: [String: String] = [:],
    cause: Cause? = nil
  ) {
    self.code = code
    self.message = message
    self.hint = hint
    self.facts = facts.merging(cause?.facts ?? [:]) { own, _ in own }
    self.cause = cause
  }

  /// The same error in other words.
  public func saying(_ message: String, hint: String?) -> OpsError {
    OpsError(code, message, hint: hint, facts: facts, cause: cause)
  }
}

extension OpsError: CustomStringConvertible {
  /// The line that a person reads and greps for: `OPS_004: …`.
  public var description: String { "\(code.rawValue): \(message)" }
}
