import Archive
import Host
import Ledger
import Log

extension Invocation {
  /// The stores that were named, opened.
  ///
  /// - Throws: `OPS_001` where none was.
  func openStores() throws(OpsError) -> [any ObjectStore] {
    let places = try stores()
    guard !places.isEmpty else {
      throw OpsError(
        .databaseUnreachable, "no store",
        hint: "name one: --store DIR, --store s3://BUCKET/PREFIX, or OPS_STORE")
    }
    var stores: [any ObjectStore] = []
    // Named twice it is one copy of the history.
    var known: Set<String> = []
    for place in places where known.insert(Self.samePlace(place)).inserted {
      stores.append(try openStore(place))
    }
    return stores
  }

  /// Alike for every way to write a place.
  private static func samePlace(_ place: String) -> String {
    if !S3Store.isPlace(place), let path = FileSystem.realPath(place) { return path }
    var place = Substring(place)
    while place.count > 1, place.hasSuffix("/") { place = place.dropLast() }
    return String(place)
  }

  func openStore(_ place: String) throws(OpsError) -> any ObjectStore {
    if S3Store.isPlace(place) { return try S3Store(place, bucketSettings(of: place)) }
    // What looks like an address is not taken for the name of a directory, which the next push would make.
    if let scheme = Self.scheme(of: place) {
      throw .badInput(
        "\(place) is no store: \(scheme): is not s3://",
        hint: "a store is s3://BUCKET/PREFIX, or a directory; one with such a name is ./\(place)")
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

  /// How buckets are reached; all are in one place.
  private func bucketSettings(of place: String) throws(OpsError) -> S3Settings {
    guard let key = try environment.text(.bucketKey),
      let secret = try environment.text(.bucketSecret)
    else {
      throw OpsError(
        .databaseUnreachable, "no key for \(place)",
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

  /// The log as the stores have it; reads nothing yet.
  func storedLog() throws(OpsError) -> StoredLog { StoredLog(try openStores()) }

  /// The snapshots of the stores that were named, if any were.
  func snapshots(_ target: Session.Target) throws(OpsError) -> StoredSnapshots? {
    guard try !stores().isEmpty else { return nil }
    return StoredSnapshots(
      target, try openStores(),
      warn: { Output.messages.line("warning: \(Terminal.printable($0))") })
  }

  /// Says what a state was made from.
  func note(_ snapshots: StoredSnapshots?) {
    if let entry = snapshots?.given { note("made from the snapshot at entry \(entry)") }
  }
}

extension Command.Option {
  static let offline = Command.Option(
    name: "offline", help: "from the store alone, with no database")
}
