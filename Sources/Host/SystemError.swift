import Glibc

/// A system call that was refused, with its number, for those who decide by it.
public struct SystemError: Error, Equatable, Sendable {
  /// As in errno(3).
  public let number: Int32
  /// What was being done, as after "cannot".
  public let doing: String

  public init(_ number: Int32, _ doing: String) {
    self.number = number
    self.doing = doing
  }

  /// The system's words for it.
  public var reason: String { String(cString: strerror(number)) }
}
