/// A file, a program or a setting of this machine cannot be used or read.
public struct HostError: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// A file, a program or a server cannot be used. A person has to repair it on the machine.
    case unusable
    /// A setting or an argument has the wrong form.
    case malformed
  }

  public let kind: Kind
  /// One sentence without a full stop, which names the file, program or setting.
  public let message: String
  public let hint: String?

  public init(_ kind: Kind, _ message: String, hint: String? = nil) {
    self.kind = kind
    self.message = message
    self.hint = hint
  }

  /// A refused system call, as `cannot <doing>: <reason>`.
  static func system(_ number: Int32, _ doing: String) -> HostError {
    HostError(SystemError(number, doing))
  }

  init(_ error: SystemError) { self.init(.unusable, "cannot \(error.doing): \(error.reason)") }
}
