/// Two lower-case digits for each byte.
public func hexEncoded(_ bytes: UnsafeRawBufferPointer) -> String {
  String(unsafeUninitializedCapacity: bytes.count * 2) { digits in
    for (index, byte) in bytes.enumerated() {
      digits[index * 2] = hexDigit(byte >> 4)
      digits[index * 2 + 1] = hexDigit(byte & 15)
    }
    return bytes.count * 2
  }
}

public func hexEncoded(_ bytes: [UInt8]) -> String {
  bytes.withUnsafeBytes { hexEncoded($0) }
}

/// Nil unless the text has two digits of either case for each byte.
public func hexDecoded(_ text: String) -> [UInt8]? {
  let digits = text.utf8.map { Character(Unicode.Scalar($0)).hexDigitValue }
  guard digits.count.isMultiple(of: 2) else { return nil }
  var bytes: [UInt8] = []
  for index in stride(from: 0, to: digits.count, by: 2) {
    guard let high = digits[index], let low = digits[index + 1] else { return nil }
    bytes.append(UInt8(high << 4 | low))
  }
  return bytes
}

private func hexDigit(_ value: UInt8) -> UInt8 {
  value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
