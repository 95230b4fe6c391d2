internal import CCrypto

/// Bytes that nobody can guess. Without them the process ends, since nothing may use guessable salts.
public func randomBytes(count: Int) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
    guard let base = buffer.baseAddress else { return }
    precondition(RAND_bytes(base, Int32(count)) == 1, "libcrypto has no random bytes")
    initialized = count
  }
}
