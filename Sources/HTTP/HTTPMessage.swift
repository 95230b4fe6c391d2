public struct HTTPRequest: Sendable {
  public enum Method: String, Sendable {
    case get = "GET"
    case head = "HEAD"
    case put = "PUT"
    case post = "POST"
    case delete = "DELETE"
  }

  public var method: Method
  /// Path and query are sent as they are.
  public var url: String
  public var headers: [(name: String, value: String)]
  /// For PUT and POST.
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

/// A server's answer, whatever its status.
public struct HTTPResponse: Sendable {
  public internal(set) var status = 0
  /// Headers by their names in lower case. If a name stands twice, the last one counts.
  public internal(set) var headers: [String: String] = [:]
  public internal(set) var body: [UInt8] = []

  public var isSuccess: Bool { (200..<300).contains(status) }
}
