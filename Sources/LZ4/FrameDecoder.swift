internal import CLZ4

/// Decodes untrusted LZ4 frames. It keeps its buffer. One thread uses it at a time.
///
/// - Source: LZ4 Frame Format 1.6.1; lz4frame.h.
public final class FrameDecoder {
  private let context: OpaquePointer
  private var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 16)

  public init() {
    var context: OpaquePointer?
    let code = LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))
    guard LZ4F_isError(code) == 0, let context else { preconditionFailure("out of memory") }
    self.context = context
  }

  deinit {
    LZ4F_freeDecompressionContext(context)
    buffer.deallocate()
  }

  /// The content of exactly one frame, valid until the next call.
  ///
  /// - Parameter bytesMax: Upper bound on the content. It limits the decoding too, since the size in the header may be
  ///   missing or wrong.
  public func decode(
    _ frame: UnsafeRawBufferPointer, bytesMax: Int
  ) throws(LZ4Error) -> UnsafeRawBufferPointer {
    LZ4F_resetDecompressionContext(context)
    let (header, size) = try begin(frame)
    guard size <= UInt64(bytesMax) else { throw .tooLarge(bytesMax: bytesMax) }
    // A byte becomes at most 255 bytes, so a small frame cannot make this allocate much memory.
    let possible = frame.count.multipliedReportingOverflow(by: 255)
    let most = min(bytesMax, possible.overflow ? bytesMax : possible.partialValue)
    if size > 0, size > UInt64(most) { throw .damaged("the size in its header is impossible") }
    // With a byte more than the limit, content that is too large shows. With room for a block, blocks decode in place.
    let limit = size > 0 ? Int(size) : most
    reserve(limit + 1 + min(limit, 1 << 20))
    var (read, written) = (header, 0)
    while true {
      var (taken, made) = (frame.count - read, buffer.count - written)
      let source = UnsafeRawBufferPointer(rebasing: frame[read...])
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer[written...])
      let hint = LZ4F_decompress(
        context, room.baseAddress, &made, source.baseAddress, &taken, nil)
      try check(hint)
      read += taken
      written += made
      if written > limit { throw .tooLarge(bytesMax: limit) }
      if hint == 0 { break }
      // liblz4 wants bytes that are not there, or more room than the limit.
      if taken == 0, made == 0 { throw .truncated }
    }
    guard read == frame.count else { throw .trailingBytes(frame.count - read) }
    return UnsafeRawBufferPointer(rebasing: buffer[..<written])
  }

  public func decode(_ frame: [UInt8], bytesMax: Int) throws(LZ4Error) -> [UInt8] {
    // Array.withUnsafeBytes has no typed throws.
    try frame.withUnsafeBytes { frame in
      Result { () throws(LZ4Error) in Array(try decode(frame, bytesMax: bytesMax)) }
    }.get()
  }

  /// Reads the length of the header, and the size of the content or 0.
  private func begin(
    _ frame: UnsafeRawBufferPointer
  ) throws(LZ4Error) -> (length: Int, size: UInt64) {
    guard frame.count >= 4 else { throw .truncated }
    // liblz4 would also accept a skippable frame.
    let magic = UInt32(littleEndian: frame.loadUnaligned(as: UInt32.self))
    guard magic == UInt32(LZ4F_MAGICNUMBER) else { throw .notAFrame }
    guard frame.count >= Int(LZ4F_HEADER_SIZE_MIN) else { throw .truncated }
    let length = LZ4F_headerSize(frame.baseAddress, frame.count)
    try check(length)
    guard frame.count >= length else { throw .truncated }
    var info = LZ4F_frameInfo_t()
    var read = frame.count
    try check(LZ4F_getFrameInfo(context, &info, frame.baseAddress, &read))
    return (read, info.contentSize)
  }

  private func check(_ code: Int) throws(LZ4Error) {
    guard LZ4F_isError(code) != 0 else { return }
    throw .damaged(LZ4F_getErrorName(code).map { String(cString: $0) } ?? "unknown")
  }

  private func reserve(_ count: Int) {
    if buffer.count >= count { return }
    buffer.deallocate()
    buffer = .allocate(byteCount: count, alignment: 16)
  }
}
