import HTTP
import Ledger
import XML

/// An answer of the server that reports an error.
struct S3Refusal: Equatable {
  var status: Int
  /// `NoSuchKey`; empty if the answer has none.
  var code = ""
  var message = ""

  init(status: Int) { self.status = status }

  /// Nil for a success. A success whose body is an error counts as a refusal: a server that has begun its answer cannot
  /// change the status.
  init?(_ response: HTTPResponse) {
    let mayHoldError = !response.isSuccess || response.headers["content-type"] == "application/xml"
    let root = mayHoldError ? try? XMLElement(response.body) : nil
    let error = root?.name == "Error" ? root : nil
    guard !response.isSuccess || error != nil else { return nil }
    status = response.isSuccess ? 500 : response.status
    code = error?["Code"]?.text ?? ""
    message = error?["Message"]?.text ?? ""
  }
}

enum S3Failure {
  case unanswered(HTTPError)
  case refused(S3Refusal)

  /// The number of attempts that this one counts as; 0: another attempt is useless.
  var attempts: Int {
    switch self {
    case .unanswered(let error):
      switch error.kind {
      case .connect, .lost: 1
      // A timeout has waited long already.
      case .timeout: 2
      case .tls, .unusable, .tooLarge: 0
      }
    case .refused(let refusal):
      switch refusal.status {
      case 408, 429, 500...: 1
      case 409 where Self.busy.contains(refusal.code): 1
      case 400 where Self.damaged.contains(refusal.code) || refusal.code == "RequestTimeout": 1
      default: 0
      }
    }
  }

  /// Another request for the same name is running.
  static let busy: Set<String> = ["ConditionalRequestConflict", "OperationAborted"]
  /// The server received other bytes than were sent.
  static let damaged: Set<String> = ["BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"]
}

extension OpsError {
  init(_ failure: S3Failure, _ request: S3Request, in bucket: S3Bucket) {
    let (code, reason, hint) = Self.meaning(of: failure, bucket)
    let place = bucket.place.text
    self.init(
      code, "store \(place): cannot \(request.doing): \(bucket.withoutSecrets(reason))", hint: hint,
      cause: .store(StoreFault(code.storeFault, at: place, file: request.file)))
  }

  private static func meaning(
    of failure: S3Failure, _ bucket: S3Bucket
  ) -> (Code, reason: String, hint: String?) {
    switch failure {
    case .unanswered(let error):
      switch error.kind {
      case .tls:
        return (
          .databaseUnreachable, error.message,
          "if you trust the server, name the file of its certificate authority in AWS_CA_BUNDLE"
        )
      case .tooLarge: return (.storeDiverged, error.message, nil)
      case .unusable: return (.databaseUnreachable, error.message, "apt-get install libcurl4")
      case .connect, .timeout, .lost:
        return (.databaseUnreachable, error.message, "check AWS_ENDPOINT_URL and the network")
      }
    case .refused(let refusal):
      let (code, hint) = meaning(of: refusal, bucket)
      return (code, words(of: refusal), hint)
    }
  }

  private static func words(of refusal: S3Refusal) -> String {
    var words = refusal.code.isEmpty ? "status \(refusal.status)" : refusal.code
    if !refusal.message.isEmpty { words += ": \(refusal.message.prefix(200))" }
    return words
  }

  private static func meaning(of refusal: S3Refusal, _ bucket: S3Bucket) -> (Code, hint: String?) {
    switch (refusal.status, refusal.code) {
    case (_, "NoSuchBucket"):
      (.databaseUnreachable, "create the bucket \(bucket.place.bucket), or check its name")
    case (404, _): (.notFound, nil)
    case (_, "SignatureDoesNotMatch"), (_, "InvalidAccessKeyId"):
      (.notAllowed, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    case (_, "RequestTimeTooSkewed"): (.notAllowed, "set this machine's clock")
    case (_, "ExpiredToken"), (_, "InvalidToken"): (.notAllowed, "check AWS_SESSION_TOKEN")
    case (301, _), (307, _), (_, "AuthorizationHeaderMalformed"):
      (.notAllowed, "the bucket is in another region: set AWS_REGION")
    case (401, _), (403, _):
      (.notAllowed, "let this key list the bucket, and get, put and delete objects in it")
    case (412, _): (.conflict, nil)
    case (409, _): (.conflict, "another client writes this object now: try again")
    case (400, let code) where S3Failure.damaged.contains(code):
      (.storeDiverged, "bytes changed on the way to the server: check the network")
    case (408, _), (429, _), (500..., _), (400, "RequestTimeout"): (.databaseUnreachable, nil)
    default: (.notAllowed, nil)
    }
  }
}
