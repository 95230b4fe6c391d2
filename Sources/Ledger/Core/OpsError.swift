/// A refusal or a failure. The code never changes its meaning; the texts may change.
///
/// The message says what happened to which thing, and the hint says what to do. Neither contains secrets.
public struct OpsError: Error, Equatable, Sendable {
  /// A code is never renamed, and never gets another meaning.
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

    /// The exit code of the process: 1 if the answer is no, 2 for an invalid command, 3 if the database or the schema
    /// is missing.
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
  /// Names of rows, versions and files, for people. Code decides by ``code`` and ``cause``.
  public let facts: [String: String]
  public let cause: Cause?

  /// - Parameter facts: Facts that the cause does not have.
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

  /// The same error with other texts.
  public func saying(_ message: String, hint: String?) -> OpsError {
    OpsError(code, message, hint: hint, facts: facts, cause: cause)
  }
}

extension OpsError: CustomStringConvertible {
  /// `OPS_004: …`.
  public var description: String { "\(code.rawValue): \(message)" }
}
