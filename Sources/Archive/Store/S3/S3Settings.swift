import Ledger

/// The settings of a bucket, with the names of the usual environment variables.
public struct S3Settings: Sendable {
  /// `AWS_ACCESS_KEY_ID`.
  public var accessKey: String
  /// `AWS_SECRET_ACCESS_KEY`; appears in no error and no output.
  public var secretKey: String
  /// `AWS_SESSION_TOKEN` of temporary keys; a secret too.
  public var sessionToken: String?
  /// `AWS_REGION`.
  public var region = "us-east-1"
  /// `AWS_ENDPOINT_URL` of another server than Amazon's: the bucket is then in the path.
  public var endpoint: String?
  /// `AWS_CA_BUNDLE`: a file of certificates to trust instead of the system's.
  public var certificates: String?
  public var connectTimeoutMillis = 5000
  /// The longest silence of a server.
  public var stallSecondsMax = 20
  /// The pause before the second attempt. Later pauses are four and sixteen times as long.
  public var pauseMillis = 200

  public init(accessKey: String, secretKey: String) {
    self.accessKey = accessKey
    self.secretKey = secretKey
  }
}

/// The parts of `s3://bucket/prefix`.
struct S3Place: Equatable, Sendable {
  let bucket: String
  /// The prefix of all keys: empty, or with a slash at its end.
  let prefix: String

  var text: String { "s3://\(bucket)" + (prefix.isEmpty ? "" : "/\(prefix.dropLast())") }

  /// - Throws: `OPS_019` if the text is not a place in a bucket. Neither part needs escapes in a URL.
  init(_ text: String) throws(OpsError) {
    guard text.hasPrefix("s3://") else { throw Self.notOne(text) }
    var parts = text.dropFirst(5).split(separator: "/", omittingEmptySubsequences: false)
    if parts.count > 1, parts.last?.isEmpty == true { parts.removeLast() }
    let bucket = String(parts.removeFirst())
    guard Self.isBucket(bucket), parts.allSatisfy(Self.isPart) else { throw Self.notOne(text) }
    self.bucket = bucket
    prefix = parts.map { $0 + "/" }.joined()
  }

  private static func notOne(_ text: String) -> OpsError {
    // A login in the text would be a secret.
    let shown = text.contains("@") ? "s3://…@…" : text.debugDescription
    return OpsError(
      .badInput, "\(shown) does not name a bucket",
      hint: "write s3://bucket or s3://bucket/prefix, of letters, digits, '.', '-' and, in the "
        + "prefix, '_'")
  }

  private static func isBucket(_ text: String) -> Bool {
    guard (3...63).contains(text.utf8.count), let first = text.first, let last = text.last,
      first != "." && first != "-" && last != "." && last != "-", !text.contains("..")
    else { return false }
    return text.lowercased() == text
      && text.utf8.allSatisfy { $0.isAlphanumeric || ".-".utf8.contains($0) }
  }

  private static func isPart(_ text: Substring) -> Bool {
    StoreName.isPart(String(text).replacing("_", with: "-"))
  }
}
