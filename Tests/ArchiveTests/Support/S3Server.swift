import Archive
import Glibc
import HTTP
import Host
import Testing

/// `tools/s3_server.py`, which `tools/test` starts: its settings are in the environment.
struct S3Server {
  static let missing: Comment = "OPS_TEST_S3 names no file of settings (tools/s3_server.py)"

  /// What the server wrote when it began, by name.
  static let settings: [String: String]? = {
    guard let file = getenv("OPS_TEST_S3").map({ String(cString: $0) }),
      let text = try? FileSystem.readText(file)
    else { return nil }
    var settings: [String: String] = [:]
    for line in text.split(separator: "\n") {
      guard let equals = line.firstIndex(of: "=") else { continue }
      settings[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    return settings
  }()

  static func setting(_ name: String) throws -> String { try #require(settings?[name]) }
}

/// A bucket of a test's own.
struct TestBucket {
  let name: String
  private let client = HTTPClient(HTTPClient.Settings())

  init() throws {
    name = "test-" + String(UInt64.random(in: 0...UInt64.max), radix: 36)
    try control(.put, "bucket")
  }

  var place: String { "s3://\(name)/a/ledger" }

  func settings() throws -> S3Settings {
    var settings = S3Settings(
      accessKey: try S3Server.setting("AWS_ACCESS_KEY_ID"),
      secretKey: try S3Server.setting("AWS_SECRET_ACCESS_KEY"))
    settings.endpoint = try S3Server.setting("AWS_ENDPOINT_URL")
    settings.pauseMillis = 5
    return settings
  }

  func store() throws -> S3Store { try S3Store(place, settings()) }

  /// Makes the next `count` requests of a method go wrong, after the first `skip` of them.
  func fault(
    _ kind: String, _ method: String = "ANY", count: Int = 1, skip: Int = 0, seconds: Int = 1
  ) throws {
    try control(
      .post, "fault?kind=\(kind)&method=\(method)&count=\(count)&skip=\(skip)&seconds=\(seconds)")
  }

  @discardableResult
  func control(_ method: HTTPRequest.Method, _ what: String) throws -> String {
    let endpoint = try S3Server.setting("AWS_ENDPOINT_URL")
    let response = try client.perform(HTTPRequest(method, "\(endpoint)/_test/\(name)/\(what)"))
    try #require(response.isSuccess, "\(what): \(response.status)")
    return String(decoding: response.body, as: UTF8.self)
  }

  /// All keys, and how many uploads in parts are open.
  func keys() throws -> [String] {
    try control(.get, "keys").split(separator: "\n").map(String.init)
  }
  func openUploads() throws -> Int? {
    Int(try control(.get, "uploads").dropLast())
  }
}
