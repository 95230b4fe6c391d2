import Ledger

/// How a bucket is reached, by the names that others' tools use too.
public struct S3Settings: Sendable {
  /// `AWS_ACCESS_KEY_ID`.
  public var accessKey: String
  /// `AWS_SECRET_ACCESS_KEY`; in no error and in no output.
  public var secretKey: String
  /// `AWS_SESSION_TOKEN`, of keys that are lent for a while; as secret.
  public var sessionToken: String?
  /// `AWS_REGION`.
  public var region = "us-east-1"
  /// `AWS_ENDPOINT_URL`, of a server that is not Amazon's: the bucket is then in the path.
  public var endpoint: String?
  /// `AWS_CA_BUNDLE`: a file of certificates to trust instead of the system's.
  public var certificates: String?
  public var connectTimeoutMillis = 5000
  /// How long a server may say nothing.
  public var stallSecondsMax = 20
  /// Before a request is tried again; then four and sixteen times as long.
  public var pauseMillis = 200

  public init(accessKey: String, secretKey: String) {
    self.accessKey = accessKey
    self.secretKey = secretKey
  }
}

/// `s3://bucket/prefix`, taken apart.
struct S3Place: Equatable, Sendable {
  let bucket: String
  /// What all keys begin with: empty, or with a slash at its end.
  let prefix: String

  var text: String { "s3://\(bucket)" + (prefix.isEmpty ? "" : "/\(prefix.dropLast())") }

  /// - Throws: `OPS_019` where it is none. Neither part ever has to be escaped in a URL.
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
    // Who puts a login there has a secret in it.
    let shown = text.contains("@") ? "s3://…@…" : text.debugDescription
    return OpsError(
      .badInput, "\(shown) names no bucket",
      hint: "write s3://bucket or s3://bucket/prefix, of letters, digits, '.', '-' and, in the "
        + "prefix, '_'")
  }

  private static func isBucket(_ text: String) -> Bool {
    guard (3...63).contains(text.utf8.count), let first = text.first, let last = text.last,
      first != "." && first != "-" && last != "." && last != "-", !text.contains("..")
    else { return false }
    return text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "-"):
        true
      default: false
      }
    }
  }

  private static func isPart(_ text: Substring) -> Bool {
    StoreName.isPart(String(text).replacing("_", with: "-"))
  }
}
