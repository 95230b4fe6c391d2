import Glibc

/// A refused system call, with its error number for callers that decide by it.
public struct SystemError: Error, Equatable, Sendable {
  /// The number of errno(3).
  public let number: Int32
  /// The words that follow "cannot" in a message: `write /srv/a`.
  public let doing: String

  public init(_ number: Int32, _ doing: String) {
    self.number = number
    self.doing = doing
  }

  /// The system's text for the number.
  public var reason: String { String(cString: strerror(number)) }
}
