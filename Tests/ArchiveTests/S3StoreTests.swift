import Archive
import HTTP
import Ledger
import TestSupport
import Testing

@Suite("A store in a bucket", .enabled(if: S3Server.settings != nil, S3Server.missing))
struct S3StoreTests {
  @Test("keeps the rules of every store", arguments: ObjectStoreRules.names)
  func rules(name: String) throws {
    let bucket = try TestBucket()
    try ObjectStoreRules(store: bucket.store(), other: bucket.store()).check(name)
    #expect(try bucket.openUploads() == 0)
  }

  @Test("everything lies below the prefix, and what else is in the bucket is not seen")
  func prefix() throws {
    let bucket = try TestBucket()
    #expect(try put(bucket.store(), "segments/1", [1]))
    #expect(try bucket.keys() == ["a/ledger/segments/1"])
    let whole = try S3Store("s3://\(bucket.name)", bucket.settings())
    #expect(try whole.list("").map(\.name) == ["a/ledger/segments/1"])
    #expect(try put(whole, "a/ledger-2", [2]))
    #expect(try bucket.store().list("").map(\.name) == ["segments/1"])
    #expect(bucket.place == (try S3Store(bucket.place + "/", bucket.settings()).place))
  }

  @Test("others' objects are listed under their names, but for hidden ones and marks of folders")
  func foreign() throws {
    let bucket = try TestBucket()
    for key in ["a%20b%2Bc", "x%26%3C%C3%A9%3E%25", ".hidden", "d/.hidden/e", "folder/", ""] {
      try bucket.control(.put, "object?key=a/ledger/\(key)")
    }
    #expect(try bucket.store().list("").map(\.name) == ["a b+c", "x&<é>%"])
  }

  @Test("lists of more than a page are whole")
  func manyFiles() throws {
    let bucket = try TestBucket()
    let store = try bucket.store()
    let names = (0..<1005).map { "tile/\(10_000 + $0)" }
    for name in names { try bucket.control(.put, "object?key=a/ledger/\(name)") }
    #expect(try store.list("tile/").map(\.name) == names)
  }

  // MARK: Who asks

  @Test("a wrong secret, an unknown key and a header changed on the way are refused")
  func refused() throws {
    let bucket = try TestBucket()
    let good = try bucket.store()
    #expect(try put(good, "there", [1]))
    var wrong = try bucket.settings()
    wrong.secretKey = "not-the-secret-of-anybody"
    var unknown = try bucket.settings()
    unknown.accessKey = "AKIANOBODYKNOWSTHISONE"
    for settings in [wrong, unknown] {
      let store = try S3Store(bucket.place, settings)
      for attempt: () throws -> Any in [
        { try store.list("") }, { try store.read("there", nil) }, { try put(store, "new", [1]) },
        { try store.remove("there") }, { try put(store, "large", large) },
      ] {
        let error = #expect(throws: OpsError.self) { _ = try attempt() }
        #expect(error?.code == .notAllowed, "\(error?.description ?? "")")
        #expect(error.map { "\($0) \($0.hint ?? "")".contains("not-the-secret") } == false)
      }
    }
    for method in ["GET", "HEAD", "PUT", "DELETE"] { try bucket.fault("meddled", method, count: 1) }
    for attempt: () throws -> Any in [
      { try good.list("") }, { try put(good, "new", [1]) }, { try put(good, "new", [1]) },
      { try good.remove("there") },
    ] {
      expectRefusal(.notAllowed) { _ = try attempt() }
    }
    #expect(try good.list("").map(\.name) == ["there"])
  }

  @Test("a server's certificate is checked, against the authority that is named")
  func certificates() throws {
    let bucket = try TestBucket()
    var settings = try bucket.settings()
    settings.endpoint = try S3Server.setting("TLS_ENDPOINT_URL")
    let untrusting = try S3Store(bucket.place, settings)
    let error = #expect(throws: OpsError.self) { try untrusting.list("") }
    #expect(error?.code == .databaseUnreachable)
    #expect(error?.hint?.contains("AWS_CA_BUNDLE") == true)
    settings.certificates = try S3Server.setting("AWS_CA_BUNDLE")
    let store = try S3Store(bucket.place, settings)
    #expect(try put(store, "over/tls", large))
    #expect(try store.read("over/tls", nil) == large)
    settings.endpoint = settings.endpoint?.replacing("127.0.0.1", with: "localhost")
    let renamed = try S3Store(bucket.place, settings)
    expectRefusal(.databaseUnreachable) { try renamed.list("") }
  }

  @Test("what cannot be a bucket or an endpoint is refused, and no login is shown")
  func settings() throws {
    let bucket = try TestBucket()
    for place in [
      "s3://", "s3://ab", "s3://Bucket", "s3://-ab", "s3://a..b", "s3://abc//x", "s3://abc/../x",
      "s3://abc/x y", "s3://abc/.x", "s3://key:hidden@abc", "s3://abc/x?y", "https://abc",
    ] {
      let error = #expect(throws: OpsError.self) { try S3Store(place, bucket.settings()) }
      #expect(error?.code == .badInput, "\(place)")
      #expect(error.map { "\($0)".contains("hidden") } == false)
    }
    for endpoint in ["", "host:80", "ftp://host", "https://me:hidden@host", "https://host?x=1"] {
      var settings = try bucket.settings()
      settings.endpoint = endpoint
      let error = #expect(throws: OpsError.self) { try S3Store(bucket.place, settings) }
      #expect(error?.code == .badInput, "\(endpoint)")
      #expect(error.map { "\($0)".contains("hidden") } == false)
    }
    for place in ["s3://abc", "s3://a.b-c/x_y/z.1/"] {
      #expect(throws: Never.self) { try S3Store(place, bucket.settings()) }
    }
  }

  // MARK: Faults

  @Test(
    "what passes by itself is tried again, and nothing is lost or doubled by it",
    arguments: ["unavailable", "failing", "cut", "lost", "half", "slow"])
  func passing(kind: String) throws {
    let bucket = try TestBucket()
    let store = try bucket.store()
    for method in ["GET", "HEAD", "PUT", "POST"] {
      try bucket.fault(kind, method, count: 2, seconds: 0)
    }
    #expect(try put(store, "small", [1, 2, 3]))
    #expect(try put(store, "large", large))
    for method in ["GET", "DELETE"] { try bucket.fault(kind, method, count: 2, seconds: 0) }
    #expect(try store.read("small", nil) == [1, 2, 3])
    #expect(try store.list("").map(\.size) == [UInt64(large.count), 3])
    #expect(try store.read("large", nil) == large)
    try store.remove("small")
    #expect(try store.list("").map(\.name) == ["large"])
    // One whose beginning was never answered is known to nobody: a rule of the bucket ends it.
    if kind != "lost" && kind != "half" { #expect(try bucket.openUploads() == 0) }
  }

  @Test("what does not pass is out of reach, after a while; a file that was begun leaves nothing")
  func lasting() throws {
    let bucket = try TestBucket()
    let store = try bucket.store()
    let file = try store.make("large")
    try write(file, large)
    for kind in ["unavailable", "cut"] {
      try bucket.fault(kind, count: -1)
      let error = #expect(throws: OpsError.self) { try store.list("") }
      #expect(error?.code == .databaseUnreachable)
      try bucket.control(.post, "calm")
    }
    try bucket.fault("slow", count: -1, seconds: 5)
    var impatient = try bucket.settings()
    impatient.stallSecondsMax = 2
    let hasty = try S3Store(bucket.place, impatient)
    let error = #expect(throws: OpsError.self) { try hasty.read("large", nil) }
    #expect(error?.code == .databaseUnreachable)
    try bucket.control(.post, "calm")
    try bucket.fault("unavailable", "PUT", count: -1)
    expectRefusal(.databaseUnreachable) { try file.publish() }
    try bucket.control(.post, "calm")
    #expect(try store.list("") == [])
    #expect(try bucket.openUploads() == 0)
    var nobody = try bucket.settings()
    nobody.endpoint = "http://127.0.0.1:1"
    let nowhere = try S3Store(bucket.place, nobody)
    let refused = #expect(throws: OpsError.self) { try nowhere.list("") }
    #expect(refused?.code == .databaseUnreachable)
  }

  @Test("a bucket that is gone is out of reach and not made; when it is back, all goes on")
  func vanished() throws {
    let bucket = try TestBucket()
    let store = try bucket.store()
    #expect(try put(store, "there", [1]))
    try bucket.control(.post, "drop")
    for attempt: () throws -> Any in [
      { try store.list("") }, { try store.read("there", nil) }, { try put(store, "new", [1]) },
      { try put(store, "large", large) }, { try Store.open(store) as Any },
    ] {
      let error = #expect(throws: OpsError.self) { _ = try attempt() }
      #expect(error?.code == .databaseUnreachable, "\(error?.description ?? "")")
    }
    try bucket.control(.post, "back")
    #expect(try store.list("").map(\.name) == ["there"])
  }

  @Test("bytes that read back other than they were written do not stay")
  func rotten() throws {
    let bucket = try TestBucket()
    let store = try bucket.store()
    for size in [10, large.count] {
      try bucket.fault("rotten", "GET", count: -1)
      let bytes = Array(large.prefix(size))
      let error = #expect(throws: OpsError.self) { try put(store, "file", bytes) }
      #expect(error?.code == .storeDiverged)
      try bucket.control(.post, "calm")
      #expect(try store.list("") == [])
    }
  }

  @Test("a server that knows no conditions is asked first, and told from ours by the mark")
  func careless() throws {
    let bucket = try TestBucket()
    let (store, other) = (try bucket.store(), try bucket.store())
    #expect(try put(store, "a", [1]))
    try bucket.fault("careless", "PUT", count: -1)
    try bucket.fault("careless", "POST", count: -1)
    #expect(try !put(other, "a", [2]))
    #expect(try !put(other, "a", large))
    #expect(try store.read("a", nil) == [1])
    // Another puts its own over ours before we look again.
    try bucket.fault("replaced", "PUT", count: 1)
    #expect(try !put(other, "b", [2]))
  }

  @Test("a name that is taken while a large file is sent stays what it is")
  func takenMeanwhile() throws {
    let bucket = try TestBucket()
    let (store, other) = (try bucket.store(), try bucket.store())
    let file = try store.make("race")
    try write(file, large)
    #expect(try bucket.openUploads() == 1)
    #expect(try put(other, "race", [1]))
    #expect(try !file.publish())
    #expect(try store.read("race", nil) == [1])
    #expect(try bucket.openUploads() == 0)
  }
}

/// More than two parts, of a length that no part begins alike.
private let large: [UInt8] = {
  var bytes = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
  while bytes.count < 16 << 20 { bytes += bytes }
  return bytes + [1]
}()
