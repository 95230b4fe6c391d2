import Host
import Ledger

/// The settings of the environment: the runbook's variables, with the runbook's defaults, and opsledger's own.
enum Setting: String, CaseIterable, Sendable {
  case databaseURL = "OPS_DATABASE_URL"
  case plainDatabaseURL = "DATABASE_URL"
  case supabaseURL = "SUPABASE_URL"
  case home = "OPSLEDGER_HOME"
  case connectTimeout = "OPS_CONNECT_TIMEOUT"
  case eventBatchSize = "OPS_EVENT_BATCH_SIZE"
  case reactionBatchSize = "OPS_REACTION_BATCH_SIZE"
  case stepLeaseMinutes = "OPS_STEP_LEASE_MINUTES"
  case workerMaxRetries = "OPS_WORKER_MAX_RETRIES"
  case staleStepMinutes = "OPS_STALE_STEP_MINUTES"
  case store = "OPS_STORE"
  case bucketKey = "AWS_ACCESS_KEY_ID"
  case bucketSecret = "AWS_SECRET_ACCESS_KEY"
  case bucketToken = "AWS_SESSION_TOKEN"
  case bucketRegion = "AWS_REGION"
  case bucketEndpoint = "AWS_ENDPOINT_URL"
  case bucketCertificates = "AWS_CA_BUNDLE"
  case signingKeyFile = "OPS_SIGNING_KEY_FILE"
  case apiKey = "OPS_API_KEY"
  case serviceRoleKey = "SUPABASE_SERVICE_ROLE_KEY"

  /// The default; nil for none.
  var standard: String? {
    switch self {
    case .connectTimeout: "5s"
    case .eventBatchSize, .reactionBatchSize: "50"
    case .stepLeaseMinutes: "5"
    case .workerMaxRetries: "3"
    case .staleStepMinutes: "15"
    case .bucketRegion: "us-east-1"
    case .databaseURL, .plainDatabaseURL, .supabaseURL, .home, .store, .bucketKey, .bucketSecret,
      .bucketToken, .bucketEndpoint, .bucketCertificates, .signingKeyFile, .apiKey, .serviceRoleKey:
      nil
    }
  }

  /// Whether a file that `NAME_FILE` names may hold it.
  var isSecret: Bool {
    switch self {
    case .databaseURL, .plainDatabaseURL, .supabaseURL, .bucketKey, .bucketSecret, .bucketToken,
      .apiKey, .serviceRoleKey:
      true
    case .home, .connectTimeout, .eventBatchSize, .reactionBatchSize, .stepLeaseMinutes,
      .workerMaxRetries, .staleStepMinutes, .store, .bucketRegion, .bucketEndpoint,
      .bucketCertificates, .signingKeyFile:
      false
    }
  }

  /// The value without its secrets.
  func shown(_ value: String) -> String {
    switch self {
    case .databaseURL, .plainDatabaseURL, .supabaseURL: Secrets.masked(value)
    case .bucketKey, .bucketSecret, .bucketToken, .apiKey, .serviceRoleKey: Secrets.hidden
    // A store with a login in its URL is refused. The error does not show the login.
    case .bucketEndpoint, .store: value.contains("://") ? Secrets.masked(value) : value
    case .home, .connectTimeout, .eventBatchSize, .reactionBatchSize, .stepLeaseMinutes,
      .workerMaxRetries, .staleStepMinutes, .bucketRegion, .bucketCertificates,
      .signingKeyFile:
      value
    }
  }
}

extension Environment {
  /// A setting as text, or its default.
  func text(_ setting: Setting) throws(OpsError) -> String? {
    let found = try onHost { () throws(HostError) in
      try requireReadable(setting.rawValue)
      return setting.isSecret ? try secret(setting.rawValue) : value(setting.rawValue)
    }
    return found?.text ?? setting.standard
  }

  /// A setting that is a count.
  func integer(
    _ setting: Setting, in range: ClosedRange<Int> = 1...1_000_000
  ) throws(OpsError) -> Int {
    let text = try text(setting) ?? ""
    guard let number = Int(text), range.contains(number) else {
      throw .badInput(
        "\(setting.rawValue) needs a number from \(range.lowerBound) to \(range.upperBound), not \(text)"
      )
    }
    return number
  }

  /// A setting that is a duration, in milliseconds. A bare number counts seconds.
  func millis(_ setting: Setting) throws(OpsError) -> Int {
    let text = try text(setting) ?? ""
    guard let millis = DurationText.parseMillis(text), millis > 0 else {
      throw .badInput("\(setting.rawValue) needs a duration like 5s or 500ms, not \(text)")
    }
    return millis
  }
}
