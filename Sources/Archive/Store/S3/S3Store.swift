internal import HTTP
public import Ledger
internal import XML

/// A store in an S3-compatible bucket.
///
/// An object appears whole or not at all. So a file is uploaded to its own name, on the condition that no object has the
/// name (`If-None-Match: *`), and with its SHA-256, which the server compares. A file that is too large for one request
/// is uploaded in parts, and the condition applies when they are completed.
///
/// - Source: Amazon S3 API reference; AWS Signature Version 4.
public final class S3Store: ObjectStore {
  public let place: String
  private let bucket: S3Bucket

  /// More than the largest object, which has 5 TB.
  private static let offsetMax: UInt64 = 1 << 43
  private static let wholeBytesMax = 1 << 30
  private static let pageKeys = 1000

  /// Sends nothing yet.
  ///
  /// - Throws: `OPS_019` if the place or a setting is not valid.
  public init(_ place: String, _ settings: S3Settings) throws(OpsError) {
    let place = try S3Place(place)
    self.place = place.text
    bucket = try S3Bucket(place, settings)
  }

  public static func isPlace(_ text: String) -> Bool { text.hasPrefix("s3://") }

  public func list(_ prefix: String) throws(OpsError) -> [StoredFile] {
    _ = try StoreName.folders(ofPrefix: prefix)
    var found: [StoredFile] = []
    var token: String?
    repeat {
      let page = try page(prefix, from: token)
      for item in page.children where item.name == "Contents" {
        if let file = try file(item, isEscaped: page["EncodingType"]?.text == "url") {
          found.append(file)
        }
      }
      let next = page["IsTruncated"]?.text == "true" ? page["NextContinuationToken"]?.text : nil
      guard next == nil || next != token else {
        throw unexpected("the server's list of objects does not end")
      }
      token = next
    } while token != nil
    return found.sorted { $0.name < $1.name }
  }

  private func page(_ prefix: String, from token: String?) throws(OpsError) -> XMLElement {
    var query = [(name: "encoding-type", value: "url"), ("list-type", "2")]
    query += [("max-keys", "\(Self.pageKeys)"), ("prefix", bucket.place.prefix + prefix)]
    if let token { query.insert(("continuation-token", token), at: 0) }
    let response = try bucket.send(
      S3Request(method: .get, query: query, bytesMax: 16 << 20, doing: "list \(prefix)*"))
    let root: XMLElement
    do throws(XMLElement.Problem) { root = try XMLElement(response.body) } catch {
      throw unexpected("the server's list of objects cannot be read: \(error.what)")
    }
    guard root.name == "ListBucketResult" else {
      throw unexpected("the server sent \(root.name) instead of a list of objects")
    }
    return root
  }

  /// Nil for an object that is not a file of a store: the folder mark of a console, or a hidden name.
  private func file(_ item: XMLElement, isEscaped: Bool) throws(OpsError) -> StoredFile? {
    guard let key = item["Key"]?.text, let size = item["Size"].flatMap({ UInt64($0.text) }) else {
      throw unexpected("the server's list has an object without Key or Size")
    }
    let whole = isEscaped ? S3Text.unescaped(key) : key
    guard whole.hasPrefix(bucket.place.prefix) else {
      throw unexpected("the server's list has an object of another prefix: \(whole)")
    }
    let name = String(whole.dropFirst(bucket.place.prefix.count))
    let isHidden = name.split(separator: "/").contains { $0.hasPrefix(".") }
    if name.isEmpty || name.hasSuffix("/") || isHidden { return nil }
    return StoredFile(name: name, size: size)
  }

  /// The error of an answer that no S3-compatible server gives.
  func unexpected(_ what: String, _ file: String? = nil) -> OpsError {
    OpsError(
      .databaseUnreachable, "store \(place): \(what)",
      hint: "check that AWS_ENDPOINT_URL names an S3-compatible server",
      cause: .store(StoreFault(.unavailable, at: place, file: file)))
  }

  public func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8] {
    let name = try StoreName(name)
    var request = S3Request(
      method: .get, key: bucket.key(name), bytesMax: Self.wholeBytesMax,
      doing: "read \(name.text)", file: name.text)
    guard let range else { return try bucket.send(request).body }
    let part = range.clamped(to: 0..<Self.offsetMax)
    if part.isEmpty {
      // A request cannot ask for zero bytes. A missing file must still throw.
      request.method = .head
      _ = try bucket.send(request)
      return []
    }
    request.headers = [("Range", "bytes=\(part.lowerBound)-\(part.upperBound - 1)")]
    let response = try bucket.send(request, answers: [416])
    switch response.status {
    case 416: return []
    case 206: return response.body
    default:
      // A server may ignore the range and send the whole file.
      let all = 0..<UInt64(response.body.count)
      let there = part.clamped(to: all)
      return Array(response.body[Int(there.lowerBound)..<Int(there.upperBound)])
    }
  }

  public func make(_ name: String) throws(OpsError) -> any FileInTheMaking {
    S3File(try StoreName(name), in: self, bucket)
  }

  public func remove(_ name: String) throws(OpsError) {
    let name = try StoreName(name)
    _ = try bucket.send(
      S3Request(
        method: .delete, key: bucket.key(name), doing: "remove \(name.text)", file: name.text),
      answers: [404])
  }
}

enum S3Text {
  /// Decodes the percent-encoding of keys in a list.
  static func unescaped(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// - Source: RFC 4648, section 4.
  static func base64(_ bytes: some Collection<UInt8>) -> String {
    let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    var rest = bytes[...]
    while !rest.isEmpty {
      let group = Array(rest.prefix(3))
      rest = rest.dropFirst(3)
      let bits = group.enumerated().reduce(0) { $0 | Int($1.element) << (16 - 8 * $1.offset) }
      for digit in 0..<4 {
        text.append(
          digit <= group.count ? digits[bits >> (18 - 6 * digit) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
