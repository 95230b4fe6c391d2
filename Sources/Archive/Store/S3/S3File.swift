import Crypto
import HTTP
import Ledger
import XML

/// A file of an ``S3Store`` that is being written.
///
/// It is one request, or an upload in parts if it is longer than a part. The object exists after the upload is completed.
/// A random mark in its metadata shows who wrote an object. So the writer knows its own upload if an answer was lost, and
/// notices if a server ignored the condition and let another upload replace it.
final class S3File: FileInTheMaking {
  private let name: StoreName
  private let store: S3Store
  private let bucket: S3Bucket
  private let mark: String
  private var buffer: [UInt8] = []
  private let sha = SHA256()
  private var size: UInt64 = 0
  /// The id of an open upload in parts.
  private var upload: String?
  private var parts: [(tag: String, checksum: String)] = []

  /// An upload has at most 10,000 parts (80 GB), of at least 5 MB each.
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
      // The last part is sent by `publish`, whatever its size.
      if buffer.count == Self.partBytes { try sendPart() }
      let piece = rest.prefix(Self.partBytes - buffer.count)
      buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece))
      rest = rest.dropFirst(piece.count)
    }
  }

  func publish() throws(OpsError) -> Bool {
    defer { giveUp() }
    let written = sha.finish()
    // For servers that ignore conditions, and to send nothing in vain.
    if try owner() != nil { return false }
    let isTaken = upload == nil ? try put() : try complete()
    guard let owner = try owner() else {
      // A HEAD request cannot tell a missing bucket from a missing file.
      _ = try store.list(name.text)
      throw OpsError(
        isTaken ? .conflict : .storeDiverged,
        "store \(store.place): \(name.text) is missing after it was written",
        hint: "check whether somebody else removes objects there",
        cause: .store(
          StoreFault(isTaken ? .unavailable : .damaged, at: store.place, file: name.text)))
    }
    // If a server keeps no metadata, only the status tells.
    guard owner == mark || owner.isEmpty && !isTaken else { return false }
    if try isThere(written) { return true }
    // Without the mark it may be another client's object, and stays.
    if owner == mark { try? store.remove(name.text) }
    throw OpsError(
      store: .damaged,
      "store \(store.place): \(name.text) was not stored: its bytes read back differ from those written",
      hint: "check the server; see `opsledger archive verify`", at: store.place, file: name.text)
  }

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

  /// The first part begins the upload.
  ///
  /// - Returns: The id of the upload.
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
      throw store.unexpected("the response to a part of \(name.text) has no ETag", name.text)
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
      throw store.unexpected("the response has no UploadId for \(name.text)", name.text)
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
      // An earlier attempt, whose answer was lost, completed the upload: the mark will tell.
      self.upload = nil
    } else if refusal.status == 404 {
      throw OpsError(.refused(refusal), request, in: bucket)
    }
    return true
  }

  /// Aborts the upload. If that fails, a lifecycle rule of the bucket removes its parts.
  private func giveUp() {
    buffer = []
    guard let upload else { return }
    self.upload = nil
    var request = request(.delete, "give up")
    request.query = [("uploadId", upload)]
    _ = try? bucket.send(request)
  }

  /// The mark of the object with that name; empty if it has no mark, nil if there is no object.
  private func owner() throws(OpsError) -> String? {
    let response = try bucket.send(request(.head, "look at"), answers: [404])
    return response.status == 404 ? nil : response.headers[Self.markHeader] ?? ""
  }

  private func isThere(_ written: Digest) throws(OpsError) -> Bool {
    let found = SHA256()
    var offset: UInt64 = 0
    // For a small file, one request shows the bytes and that nothing follows.
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

  private static func checksum(_ bytes: [UInt8]) -> String {
    SHA256.hash(bytes).withUnsafeBytes { S3Text.base64($0) }
  }

  /// Escapes text of the server for XML.
  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}
