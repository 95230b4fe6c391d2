import Archive
import Host
import Ledger
import Log

extension Invocation {
  /// Opens the stores that were named.
  ///
  /// - Throws: `OPS_001` where none was named.
  func openStores() throws(OpsError) -> [any ObjectStore] {
    let places = try stores()
    guard !places.isEmpty else {
      throw OpsError(
        .databaseUnreachable, "no store is named",
        hint: "name one: --store DIR, --store s3://BUCKET/PREFIX, or OPS_STORE")
    }
    var stores: [any ObjectStore] = []
    // A store that is named twice is one copy of the history.
    var known: Set<String> = []
    for place in places where known.insert(Self.samePlace(place)).inserted {
      stores.append(try openStore(place))
    }
    return stores
  }

  /// One spelling of a store's place.
  private static func samePlace(_ place: String) -> String {
    if !S3Store.isPlace(place), let path = FileSystem.realPath(place) { return path }
    var place = Substring(place)
    while place.count > 1, place.hasSuffix("/") { place = place.dropLast() }
    return String(place)
  }

  func openStore(_ place: String) throws(OpsError) -> any ObjectStore {
    if S3Store.isPlace(place) { return try S3Store(place, bucketSettings(of: place)) }
    // An address is not taken for the name of a directory: the next push would make that directory.
    if let scheme = Self.scheme(of: place) {
      throw .badInput(
        "\(place) is not a store: \(scheme): is not s3://",
        hint:
          "a store is s3://BUCKET/PREFIX or a directory; name a directory like this one ./\(place)")
    }
    return DirectoryStore(place)
  }

  /// The word before the first colon, where a URL would have its scheme: before any `/`.
  private static func scheme(of place: String) -> Substring? {
    guard let colon = place.firstIndex(of: ":") else { return nil }
    let word = place[..<colon]
    guard let first = word.first, first.isASCII, first.isLetter,
      word.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "+-.".contains($0)) })
    else { return nil }
    return word
  }

  /// Settings for all buckets: they share one endpoint and one key.
  private func bucketSettings(of place: String) throws(OpsError) -> S3Settings {
    guard let key = try environment.text(.bucketKey),
      let secret = try environment.text(.bucketSecret)
    else {
      throw OpsError(
        .databaseUnreachable, "no access key is set for \(place)",
        hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name files that hold them in "
          + "AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE")
    }
    var settings = S3Settings(accessKey: key, secretKey: secret)
    settings.sessionToken = try environment.text(.bucketToken)
    settings.region = try environment.text(.bucketRegion) ?? settings.region
    settings.endpoint = try environment.text(.bucketEndpoint)
    settings.certificates = try environment.text(.bucketCertificates)
    settings.connectTimeoutMillis = try environment.millis(.connectTimeout)
    return settings
  }

  /// The log of the stores; reads nothing yet.
  func storedLog() throws(OpsError) -> StoredLog { StoredLog(try openStores()) }

  /// The snapshots of the stores that were named; nil where none was.
  func snapshots(_ target: Session.Target) throws(OpsError) -> StoredSnapshots? {
    guard try !stores().isEmpty else { return nil }
    return StoredSnapshots(
      target, try openStores(),
      warn: { Output.messages.line("warning: \(Terminal.printable($0))") })
  }

  /// Names the snapshot that a state was made from.
  func note(_ snapshots: StoredSnapshots?) {
    if let entry = snapshots?.given {
      note("made from the snapshot at entry \(entry) and the log after it")
    }
  }
}

extension Command.Option {
  static let offline = flag("offline", "read the store only, without a database")
}
