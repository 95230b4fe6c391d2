import Crypto
import Glibc
import HTTP
import Ledger

struct S3Request {
  var method: HTTPRequest.Method
  /// The key; nil for the bucket itself.
  var key: String?
  /// Sorted by name, for the signature.
  var query: [(name: String, value: String)] = []
  var headers: [(name: String, value: String)] = []
  var body: [UInt8] = []
  /// The longest body of an answer.
  var bytesMax = 1 << 20
  /// The words after "cannot" in messages.
  var doing: String
  var file: String?
}

/// Sends signed requests to a bucket, again after a temporary failure.
final class S3Bucket: Sendable {
  let place: S3Place
  private let client: HTTPClient
  private let settings: S3Settings
  /// The URL of the bucket, without a slash at its end.
  private let base: String

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
    let region = settings.region
    guard !region.isEmpty, region.utf8.allSatisfy({ $0.isAlphanumeric || $0 == UInt8(ascii: "-") })
    else {
      throw OpsError(
        .badInput, "AWS_REGION is \(region.debugDescription), which is not a region",
        hint: "set AWS_REGION to a region like us-east-1")
    }
    guard var endpoint = settings.endpoint else {
      // Amazon's certificate does not cover a bucket with a dot in its name.
      let host = "s3.\(region).amazonaws.com"
      return place.bucket.contains(".")
        ? "https://\(host)/\(place.bucket)" : "https://\(place.bucket).\(host)"
    }
    while endpoint.hasSuffix("/") { endpoint.removeLast() }
    guard endpoint.hasPrefix("https://") || endpoint.hasPrefix("http://"),
      !endpoint.contains(where: { "@?# \\".contains($0) || !$0.isASCII || $0 < " " })
    else {
      throw OpsError(
        .badInput, "AWS_ENDPOINT_URL is not a URL like https://host:port, without a login",
        hint: "set AWS_ENDPOINT_URL to the server's URL, or unset it for AWS")
    }
    return "\(endpoint)/\(place.bucket)"
  }

  func key(_ name: StoreName) -> String { place.prefix + name.text }

  /// Sends a request, again after a failure that may be temporary.
  ///
  /// - Parameter answers: Statuses besides success that the caller handles.
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

  /// Waits up to a quarter more or less, so that clients that failed together do not return together.
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

  /// Percent-encodes all bytes but the unreserved ones, as the signature asks for.
  static func escaped(_ text: String) -> String {
    text.utf8.reduce(into: "") { escaped, byte in
      if byte.isAlphanumeric || "-._~".utf8.contains(byte) {
        escaped.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        escaped += "%" + hexEncoded([byte]).uppercased()
      }
    }
  }

  /// Text of a server, without the secrets of this client.
  func withoutSecrets(_ text: String) -> String {
    var text = text
    for secret in [settings.secretKey, settings.sessionToken ?? ""] where !secret.isEmpty {
      text = text.replacing(secret, with: "****")
    }
    return text
  }
}
