internal import CCrypto

/// Fills with bytes that nobody can guess. Without a source of them the process ends: nothing may
/// go on with guessable salts.
public func fillRandom(_ buffer: UnsafeMutableRawBufferPointer) {
  guard let base = buffer.baseAddress else { return }
  var offset = 0
  while offset < buffer.count {
    let count = min(buffer.count - offset, Int(Int32.max))
    let bytes = (base + offset).assumingMemoryBound(to: UInt8.self)
    precondition(RAND_bytes(bytes, Int32(count)) == 1, "libcrypto has no random bytes")
    offset += count
  }
}

public func randomBytes(count: Int) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
    fillRandom(
      UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
    initialized = count
  }
}

/// Compares in a time that depends on the lengths only.
public func equalInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
  left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
}
