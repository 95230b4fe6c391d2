/// What is asked of a server.
public struct HTTPRequest: Sendable {
  public enum Method: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case put = "PUT"
    case post = "POST"
    case delete = "DELETE"
  }

  public var method: Method
  /// With path and query as they are to be sent.
  public var url: String
  public var headers: [(name: String, value: String)]
  /// Sent as it is; of PUT and POST only.
  public var body: [UInt8]

  public init(
    _ method: Method, _ url: String, headers: [(name: String, value: String)] = [],
    body: [UInt8] = []
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
  }
}

/// What a server answered, whatever its status.
public struct HTTPResponse: Sendable {
  public internal(set) var status = 0
  /// By their names in lower case; of several of one name the last.
  public internal(set) var headers: [String: String] = [:]
  public internal(set) var body: [UInt8] = []

  public var isSuccess: Bool { (200..<300).contains(status) }
}
