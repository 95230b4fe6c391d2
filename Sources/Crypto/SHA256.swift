internal import CCrypto

/// Computes the SHA-256 of one message after another. It keeps one context for all, which is two to four times as fast as
/// a new one for each message. One thread uses it at a time.
///
/// - Source: FIPS 180-4; EVP_DigestInit(3).
public final class SHA256 {
  private let context: OpaquePointer

  public init() {
    guard let context = EVP_MD_CTX_new() else { preconditionFailure("out of memory") }
    self.context = context
    begin()
  }

  deinit { EVP_MD_CTX_free(context) }

  private func begin() {
    precondition(
      EVP_DigestInit_ex2(context, Algorithm.sha256.method, nil) == 1, "libcrypto refuses SHA-256")
  }

  public func update(_ bytes: UnsafeRawBufferPointer) {
    precondition(
      EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1,
      "libcrypto refuses to continue a SHA-256")
  }

  public func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// The digest of all bytes since the last digest.
  public func finish() -> Digest {
    var wire: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    let done = withUnsafeMutableBytes(of: &wire) {
      EVP_DigestFinal_ex(context, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
    }
    precondition(done == 1, "libcrypto refuses to end a SHA-256")
    begin()
    return Digest(
      words: (wire.0.bigEndian, wire.1.bigEndian, wire.2.bigEndian, wire.3.bigEndian))
  }

  /// The digest of a whole message. The message before it must be finished.
  public func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
    update(bytes)
    return finish()
  }

  public func hash(_ bytes: [UInt8]) -> Digest {
    update(bytes)
    return finish()
  }

  /// For a single message; a loop keeps an instance instead.
  public static func hash(_ bytes: [UInt8]) -> Digest { SHA256().hash(bytes) }
  public static func hash(_ text: String) -> Digest { hash(Array(text.utf8)) }
}

/// libcrypto's description of an algorithm, looked up once, since the search costs more than a hash.
private struct Algorithm: @unchecked Sendable {
  // Unchecked: fetched objects are immutable, and their references are counted atomically, provider(7).
  let method: OpaquePointer

  init(_ name: String) {
    guard let method = EVP_MD_fetch(nil, name, nil) else {
      preconditionFailure("libcrypto has no \(name)")
    }
    self.method = method
  }

  static let sha256 = Algorithm("SHA256")
  static let sha1 = Algorithm("SHA1")
}

/// SHA-1, 20 bytes: for UUIDv5 only, since it can be forged.
public func sha1(_ bytes: [UInt8]) -> [UInt8] {
  var digest = [UInt8](repeating: 0, count: 20)
  let done = digest.withUnsafeMutableBufferPointer { output in
    bytes.withUnsafeBytes { input in
      EVP_Digest(
        input.baseAddress, input.count, output.baseAddress, nil, Algorithm.sha1.method, nil)
    }
  }
  precondition(done == 1, "libcrypto refuses SHA-1")
  return digest
}
