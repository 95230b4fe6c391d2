/// A request that got no answer. No text of it holds a header, a key or a signature.
public struct HTTPError: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// No connection came about: nothing was sent.
    case connect
    /// It took too long; the request may have been carried out.
    case timeout
    /// The connection broke; the request may have been carried out.
    case lost
    /// The peer could not show that it is who it should be, or no encryption was agreed on.
    case tls
    /// libcurl is missing, or refuses what it was asked.
    case unusable
    /// The answer is larger than was allowed.
    case tooLarge
  }

  public let kind: Kind
  /// What went wrong, without the place.
  public let message: String

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}
