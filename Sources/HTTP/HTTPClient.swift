internal import CCurl
internal import Glibc
internal import Synchronization

/// Sends requests one at a time, and keeps its connections open. It follows no redirect and keeps no cookie. It checks the
/// certificate of every `https` server.
///
/// - Source: libcurl 7.88, curl_easy_setopt(3).
public final class HTTPClient: @unchecked Sendable {
  public struct Settings: Sendable {
    /// A file of certificates to trust instead of the system's.
    public var certificates: String?
    public var connectTimeoutMillis = 5000
    /// A transfer without a byte in so many seconds fails.
    public var stallSecondsMax = 30
    public var signing: Signing?

    public init() {}
  }

  /// How requests are signed: AWS Signature Version 4, by libcurl.
  public struct Signing: Sendable {
    public var accessKey: String
    public var secretKey: String
    public var region: String
    public var service: String

    public init(accessKey: String, secretKey: String, region: String, service: String) {
      self.accessKey = accessKey
      self.secretKey = secretKey
      self.region = region
      self.service = service
    }
  }

  private let settings: Settings
  /// Made at the first request. It is used under the lock only, so this class is Sendable.
  private var easy: EasyHandle?
  private let lock = Mutex(())

  public init(_ settings: Settings) { self.settings = settings }

  /// Sends a request and waits for its answer.
  ///
  /// - Parameter bytesMax: Upper bound on the body of the answer, which is kept in memory.
  public func perform(
    _ request: HTTPRequest, bytesMax: Int = 1 << 20
  ) throws(HTTPError) -> HTTPResponse {
    try lock.withLock { _ in
      Result { () throws(HTTPError) in
        let easy: EasyHandle
        if let known = self.easy { easy = known } else { easy = try EasyHandle() }
        self.easy = easy
        return try Transfer(easy, bytesMax: bytesMax).run(request, settings)
      }
    }.get()
  }
}

/// An easy handle of libcurl.
final class EasyHandle {
  let pointer: UnsafeMutableRawPointer

  init() throws(HTTPError) {
    if let problem = easy_load() {
      throw HTTPError(.unusable, "libcurl cannot be loaded: \(String(cString: problem))")
    }
    // If a server closes the connection too early, libcurl returns an error.
    signal(SIGPIPE, SIG_IGN)
    guard let pointer = easy_make() else { throw HTTPError(.unusable, "libcurl is out of memory") }
    self.pointer = pointer
  }

  deinit { easy_free(pointer) }
}
