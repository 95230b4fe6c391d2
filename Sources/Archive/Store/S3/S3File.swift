import Crypto
import HTTP
import Ledger
import XML

/// A file of an ``S3Store`` that is being written.
///
/// It is kept in memory up to a part, and sent in parts from there on; nothing has its name before they are put
/// together. Who made an object is known by a mark in its metadata: so an upload whose answer was lost is
/// known to be ours, and one that a server put over another, whatever the condition said, to be not.
final class S3File: FileInTheMaking {
  private let name: StoreName
  private let store: S3Store
  private let bucket: S3Bucket
  private let mark: String
  private var buffer: [UInt8] = []
  private let sha = SHA256()
  private var size: UInt64 = 0
  /// Of an upload in parts that is open.
  private var upload: String?
  private var parts: [(tag: String, checksum: String)] = []

  /// 10,000 of them are 80 GB; 5 MB is the least that a part may have.
  static let partBytes = 8 << 20
  private static let markHeader = "x-amz-meta-opsledger-upload"

  init(_ name: StoreName, in store: S3Store, _ bucket: S3Bucket) {
    self.name = name
    self.store = store
    self.bucket = bucket
    mark = hexEncoded((0..<16).map { _ in UInt8.random(in: 0...255) })
  }

  deinit { giveUp() }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OpsError) {
    sha.update(bytes)
    size += UInt64(bytes.count)
    var rest = bytes[...]
    while !rest.isEmpty {
      // A part is sent when more follows: the last one is sent at the end, whatever its size.
      if buffer.count == Self.partBytes { try sendPart() }
      let piece = rest.prefix(Self.partBytes - buffer.count)
      buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece))
      rest = rest.dropFirst(piece.count)
    }
  }

  func publish() throws(OpsError) -> Bool {
    defer { giveUp() }
    let written = sha.finish()
    // For servers that know no conditions, and to send nothing in vain.
    if try owner() != nil { return false }
    let isTaken = upload == nil ? try put() : try complete()
    guard let owner = try owner() else {
      // HEAD does not tell a bucket that is gone from a file that is.
      _ = try store.list(name.text)
      throw OpsError(
        isTaken ? .conflict : .storeDiverged,
        "store \(store.place): \(name.text) is not there after it was written",
        hint: "does somebody else remove files there?",
        cause: .store(
          StoreFault(isTaken ? .unavailable : .damaged, at: store.place, file: name.text)))
    }
    // A server may keep no metadata: then the status is all there is.
    guard owner == mark || owner.isEmpty && !isTaken else { return false }
    if try isThere(written) { return true }
    // Nothing may rely on it; what may be another's stays.
    if owner == mark { try? store.remove(name.text) }
    throw OpsError(
      store: .damaged, "store \(store.place): \(name.text) reads back other than it was written",
      hint: "the server is not to be trusted; see `opsledger archive verify`", at: store.place,
      file: name.text)
  }

  // MARK: One request

  /// - Returns: Whether the name was taken.
  private func put() throws(OpsError) -> Bool {
    var request = request(.put, "write")
    request.headers = [
      ("If-None-Match", "*"), (Self.markHeader, mark),
      ("x-amz-checksum-sha256", Self.checksum(buffer)),
    ]
    request.body = buffer
    return try bucket.send(request, answers: [412]).status == 412
  }

  // MARK: In parts

  /// - Returns: The id of the upload, which the first part begins.
  @discardableResult
  private func sendPart() throws(OpsError) -> String {
    let upload = if let upload { upload } else { try begin() }
    self.upload = upload
    let checksum = Self.checksum(buffer)
    var request = request(.put, "write")
    request.query = [("partNumber", "\(parts.count + 1)"), ("uploadId", upload)]
    request.headers = [("x-amz-checksum-sha256", checksum)]
    request.body = buffer
    guard let tag = try bucket.send(request).headers["etag"] else {
      throw strange("a part of it has no ETag")
    }
    parts.append((tag, checksum))
    buffer.removeAll(keepingCapacity: true)
    return upload
  }

  private func begin() throws(OpsError) -> String {
    var request = request(.post, "write")
    request.query = [("uploads", "")]
    request.headers = [(Self.markHeader, mark), ("x-amz-checksum-algorithm", "SHA256")]
    let body = try bucket.send(request).body
    let answer = try? XMLElement(body)
    guard let upload = answer?["UploadId"]?.text, !upload.isEmpty else {
      throw strange("an upload in parts has no id")
    }
    return upload
  }

  /// - Returns: Whether the name was taken.
  private func complete() throws(OpsError) -> Bool {
    let upload = try sendPart()
    var list = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    for (number, part) in parts.enumerated() {
      list += "<Part><PartNumber>\(number + 1)</PartNumber><ETag>\(Self.escaped(part.tag))</ETag>"
      list += "<ChecksumSHA256>\(part.checksum)</ChecksumSHA256></Part>"
    }
    var request = request(.post, "write")
    request.query = [("uploadId", upload)]
    request.headers = [("If-None-Match", "*")]
    request.body = Array("\(list)</CompleteMultipartUpload>".utf8)
    let response = try bucket.send(request, answers: [404, 412])
    guard let refusal = S3Refusal(response) else {
      self.upload = nil
      return false
    }
    if refusal.code == "NoSuchUpload" {
      // An attempt before, whose answer was lost, has ended it: whose the object is tells.
      self.upload = nil
    } else if refusal.status == 404 {
      throw OpsError(.refused(refusal), request, in: bucket)
    }
    return true
  }

  /// Leaves nothing behind; what could not be told to the server a rule of the bucket clears away.
  private func giveUp() {
    buffer = []
    guard let upload else { return }
    self.upload = nil
    var request = request(.delete, "give up")
    request.query = [("uploadId", upload)]
    _ = try? bucket.send(request)
  }

  // MARK: What is there

  /// The mark of whoever made the object of that name: empty where it has none, nil where there is none.
  private func owner() throws(OpsError) -> String? {
    let response = try bucket.send(request(.head, "look at"), answers: [404])
    return response.status == 404 ? nil : response.headers[Self.markHeader] ?? ""
  }

  /// Reads the file back: whether it is what was written.
  private func isThere(_ written: Digest) throws(OpsError) -> Bool {
    let found = SHA256()
    var offset: UInt64 = 0
    // Of a small file one request tells both what is there and that nothing follows.
    while offset <= size {
      let bytes = try store.read(name.text, offset..<offset + UInt64(Self.partBytes))
      found.update(bytes)
      offset += UInt64(bytes.count)
      if bytes.count < Self.partBytes { break }
    }
    return offset == size && found.finish() == written
  }

  private func request(_ method: HTTPRequest.Method, _ doing: String) -> S3Request {
    S3Request(
      method: method, key: bucket.key(name), doing: "\(doing) \(name.text)", file: name.text)
  }

  private func strange(_ what: String) -> OpsError {
    OpsError(
      .databaseUnreachable, "store \(store.place): cannot write \(name.text): \(what)",
      hint: "does AWS_ENDPOINT_URL name an S3-compatible server?",
      cause: .store(StoreFault(.unavailable, at: store.place, file: name.text)))
  }

  private static func checksum(_ bytes: [UInt8]) -> String {
    SHA256.hash(bytes).withUnsafeBytes { S3Text.base64($0) }
  }

  /// For text of a server's in XML.
  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}
