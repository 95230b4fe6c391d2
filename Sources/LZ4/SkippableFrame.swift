/// A frame that decoders skip. It holds data that is not content.
///
/// - Source: LZ4 Frame Format 1.6.1, "Skippable Frames": magic and size, little-endian.
public enum SkippableFrame {
  public static let headerBytes = 8

  /// The header of a frame. The body follows it.
  ///
  /// - Parameter kind: 0…15, the last digit of the magic number 0x184D2A5x.
  public static func header(kind: UInt8, bodyBytes: UInt32) -> [UInt8] {
    precondition(kind < 16, "there are sixteen kinds of skippable frame")
    let words = ((magic | UInt32(kind)).littleEndian, bodyBytes.littleEndian)
    return withUnsafeBytes(of: words) { Array($0) }
  }

  /// Reads a header; nil if the bytes do not begin with one.
  public static func read(
    _ bytes: UnsafeRawBufferPointer
  ) -> (kind: UInt8, bodyBytes: UInt32)? {
    guard bytes.count >= headerBytes else { return nil }
    let first = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
    guard first & ~15 == magic else { return nil }
    let size = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    return (UInt8(first & 15), UInt32(littleEndian: size))
  }

  private static let magic: UInt32 = 0x184D_2A50
}
