internal import CLZ4

/// Reads LZ4 frames, whatever their bytes are: what is wrong is thrown, and nothing is handed over then.
/// Keeps its buffers; owned by one thread at a time.
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

  /// The content of exactly one frame, good until the next call.
  ///
  /// - Parameter bytesMax: Upper bound on the content. It holds while decoding, since what a header says
  ///   may be missing or wrong.
  public func decode(
    _ frame: UnsafeRawBufferPointer, bytesMax: Int
  ) throws(LZ4Error) -> UnsafeRawBufferPointer {
    LZ4F_resetDecompressionContext(context)
    let (header, size) = try begin(frame)
    guard size <= UInt64(bytesMax) else { throw .tooLarge(bytesMax: bytesMax) }
    // No sequence makes more than 255 bytes of one, so that a small frame cannot ask for much memory.
    let possible = frame.count.multipliedReportingOverflow(by: 255)
    let most = min(bytesMax, possible.overflow ? bytesMax : possible.partialValue)
    if size > 0, size > UInt64(most) { throw .damaged("its size cannot be true") }
    // A byte more than allowed shows content that is too large; room for a block lets it be decoded in place.
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
      // It wants more: bytes that are not there, or room for more than may be.
      if taken == 0, made == 0 { throw .truncated }
    }
    guard read == frame.count else { throw .trailingBytes(frame.count - read) }
    return UnsafeRawBufferPointer(rebasing: buffer[..<written])
  }

  public func decode(_ frame: [UInt8], bytesMax: Int) throws(LZ4Error) -> [UInt8] {
    // An array's own function does not say what it throws.
    try frame.withUnsafeBytes { frame in
      Result { () throws(LZ4Error) in Array(try decode(frame, bytesMax: bytesMax)) }
    }.get()
  }

  /// Reads the header: its length, and the content's size or 0.
  private func begin(
    _ frame: UnsafeRawBufferPointer
  ) throws(LZ4Error) -> (length: Int, size: UInt64) {
    guard frame.count >= 4 else { throw .truncated }
    // liblz4 would also skip what is skippable.
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
