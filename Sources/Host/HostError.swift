import Glibc

/// Something of this machine cannot be used or read: a file, a program, a setting.
public struct HostError: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// A file, a program or a server is out of reach: what a person has to mend on the machine.
    case unusable
    /// A setting or an argument is not of its form.
    case malformed
  }

  public let kind: Kind
  /// One sentence without a full stop, naming what it is about.
  public let message: String
  /// What to do about it, where we know.
  public let hint: String?

  public init(_ kind: Kind, _ message: String, hint: String? = nil) {
    self.kind = kind
    self.message = message
    self.hint = hint
  }

  /// A refused system call, said as `cannot <doing>: <reason>`.
  static func system(_ number: Int32, _ doing: String, hint: String? = nil) -> HostError {
    HostError(.unusable, "cannot \(doing): \(String(cString: strerror(number)))", hint: hint)
  }
}
