internal import CLZ4

/// Makes LZ4 frames with every check of the format: the size of the content, and checksums of each block and of the
/// content. Each frame can be decoded alone. One thread uses an encoder at a time.
///
/// - Source: LZ4 Frame Format 1.6.1; lz4frame.h.
public final class FrameEncoder {
  private let context: OpaquePointer

  public init() {
    var context: OpaquePointer?
    let code = LZ4F_createCompressionContext(&context, UInt32(LZ4F_VERSION))
    guard LZ4F_isError(code) == 0, let context else { preconditionFailure("out of memory") }
    self.context = context
  }

  deinit { LZ4F_freeCompressionContext(context) }

  public func encode(_ content: UnsafeRawBufferPointer) -> [UInt8] {
    var preferences = Self.preferences(for: content.count)
    let capacity = Int(LZ4F_HEADER_SIZE_MAX) + LZ4F_compressBound(content.count, &preferences)
    return [UInt8](unsafeUninitializedCapacity: capacity) { frame, written in
      var room: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(frame)[written...])
      }
      func step(_ result: Int) {
        // liblz4 has the room that it asked for, so it cannot fail.
        precondition(LZ4F_isError(result) == 0, "liblz4 refuses to make a frame")
        written += result
      }
      step(LZ4F_compressBegin(context, room.baseAddress, room.count, &preferences))
      step(
        LZ4F_compressUpdate(
          context, room.baseAddress, room.count, content.baseAddress, content.count, nil))
      step(LZ4F_compressEnd(context, room.baseAddress, room.count, nil))
    }
  }

  public func encode(_ content: [UInt8]) -> [UInt8] {
    content.withUnsafeBytes { encode($0) }
  }

  /// The smallest block size that holds the whole content, at most 1 MB: a decoder reserves a block.
  private static func preferences(for count: Int) -> LZ4F_preferences_t {
    var preferences = LZ4F_preferences_t()
    preferences.frameInfo.blockSizeID =
      count <= 64 << 10 ? LZ4F_max64KB : count <= 256 << 10 ? LZ4F_max256KB : LZ4F_max1MB
    preferences.frameInfo.blockMode = LZ4F_blockIndependent
    preferences.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled
    preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
    // 0 means unknown, so the frame of an empty content has no size.
    preferences.frameInfo.contentSize = UInt64(count)
    preferences.autoFlush = 1
    return preferences
  }
}
