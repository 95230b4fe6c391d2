import Crypto
import Glibc
import HTTP
import Ledger

/// What is asked of a bucket.
struct S3Request {
  var method: HTTPRequest.Method
  /// The key; nil for the bucket itself.
  var key: String?
  /// By name, as a signature wants it.
  var query: [(name: String, value: String)] = []
  var headers: [(name: String, value: String)] = []
  var body: [UInt8] = []
  /// Upper bound on the answer's body.
  var bytesMax = 1 << 20
  /// In messages, as after "cannot".
  var doing: String
  /// The file that it is about.
  var file: String?
}

/// Speaks to a bucket: signs every request, and tries again what passes by itself.
final class S3Bucket: Sendable {
  let place: S3Place
  private let client: HTTPClient
  private let settings: S3Settings
  /// With the bucket, without a slash at its end.
  private let base: String

  /// Of one request.
  private static let attemptsMax = 4

  init(_ place: S3Place, _ settings: S3Settings) throws(OpsError) {
    self.place = place
    self.settings = settings
    base = try Self.base(of: place, settings)
    var http = HTTPClient.Settings()
    http.certificates = settings.certificates
    http.connectTimeoutMillis = settings.connectTimeoutMillis
    http.stallSecondsMax = settings.stallSecondsMax
    http.signing = HTTPClient.Signing(
      accessKey: settings.accessKey, secretKey: settings.secretKey, region: settings.region,
      service: "s3")
    client = HTTPClient(http)
  }

  private static func base(of place: S3Place, _ settings: S3Settings) throws(OpsError) -> String {
    guard settings.region.utf8.allSatisfy(isInRegion), !settings.region.isEmpty else {
      throw OpsError(.badInput, "AWS_REGION is \(settings.region.debugDescription), no region")
    }
    guard var endpoint = settings.endpoint else {
      // Amazon's certificate is for one name before the dot.
      let host = "s3.\(settings.region).amazonaws.com"
      return place.bucket.contains(".")
        ? "https://\(host)/\(place.bucket)" : "https://\(place.bucket).\(host)"
    }
    while endpoint.hasSuffix("/") { endpoint.removeLast() }
    guard endpoint.hasPrefix("https://") || endpoint.hasPrefix("http://"),
      !endpoint.contains(where: { "@?# \\".contains($0) || !$0.isASCII || $0 < " " })
    else {
      throw OpsError(
        .badInput, "AWS_ENDPOINT_URL must be like https://host:port, without a login in it")
    }
    return "\(endpoint)/\(place.bucket)"
  }

  private static func isInRegion(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  /// The key of a file.
  func key(_ name: StoreName) -> String { place.prefix + name.text }

  // MARK: Requests

  /// Sends a request, again where the trouble may pass.
  ///
  /// - Parameter answers: Statuses besides success that the caller knows what to do with.
  func send(
    _ request: S3Request, answers: Set<Int> = []
  ) throws(OpsError) -> HTTPResponse {
    var attempt = 1
    while true {
      let failure: S3Failure
      do throws(HTTPError) {
        let response = try client.perform(signed(request), bytesMax: request.bytesMax)
        let refusal = S3Refusal(response)
        if refusal == nil || answers.contains(response.status) { return response }
        failure = refusal.map(S3Failure.refused) ?? .refused(S3Refusal(status: response.status))
      } catch { failure = .unanswered(error) }
      attempt += failure.attempts
      guard failure.attempts > 0, attempt <= Self.attemptsMax else {
        throw OpsError(failure, request, in: self)
      }
      pause(before: attempt)
    }
  }

  /// A quarter more or less, so that those who failed together do not come back together.
  private func pause(before attempt: Int) {
    let millis = settings.pauseMillis << (2 * (attempt - 2))
    usleep(UInt32(millis * Int.random(in: 750...1250)))
  }

  private func signed(_ request: S3Request) -> HTTPRequest {
    let path = request.key.map { "/" + $0 } ?? "/"
    let query = request.query.map { "\($0.name)=\(Self.escaped($0.value))" }.joined(separator: "&")
    var headers = request.headers
    headers.append(("x-amz-content-sha256", SHA256.hash(request.body).hex))
    if let token = settings.sessionToken { headers.append(("x-amz-security-token", token)) }
    if request.method == .put || request.method == .post {
      headers.append(("Content-Type", "application/octet-stream"))
    }
    return HTTPRequest(
      request.method, base + path + (query.isEmpty ? "" : "?" + query), headers: headers,
      body: request.body)
  }

  /// As a signature wants it: everything but what never has a meaning in a URL.
  static func escaped(_ text: String) -> String {
    var escaped = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
        UInt8(ascii: "_"), UInt8(ascii: "~"):
        escaped.unicodeScalars.append(Unicode.Scalar(byte))
      default: escaped += "%" + hexEncoded([byte]).uppercased()
      }
    }
    return escaped
  }

  /// Text of others without what must not be seen.
  func withoutSecrets(_ text: String) -> String {
    var text = text
    for secret in [settings.secretKey, settings.sessionToken ?? ""] where !secret.isEmpty {
      text = text.replacing(secret, with: "****")
    }
    return text
  }
}
