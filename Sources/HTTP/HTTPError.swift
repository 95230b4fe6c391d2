/// The failure of a request without an answer. Its text has no header, key or signature.
public struct HTTPError: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    /// There was no connection, so nothing was sent.
    case connect
    /// It took too long. The server may have run the request.
    case timeout
    /// The connection broke. The server may have run the request.
    case lost
    /// The server's certificate is not valid, or there is no common encryption.
    case tls
    /// libcurl is missing, or refuses an option.
    case unusable
    /// The answer is larger than the caller allows.
    case tooLarge
  }

  public let kind: Kind
  /// The failure, without the server.
  public let message: String

  init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}
