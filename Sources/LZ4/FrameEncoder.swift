internal import CLZ4

/// Makes LZ4 frames, each of which can be decoded alone, with every check on that the format has: the content's
/// size, a checksum of each block and one of the content. Keeps its buffers; owned by one thread at a time.
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

  /// The frame of this content.
  public func encode(_ content: UnsafeRawBufferPointer) -> [UInt8] {
    var preferences = Self.preferences(for: content.count)
    let capacity = Int(LZ4F_HEADER_SIZE_MAX) + LZ4F_compressBound(content.count, &preferences)
    return [UInt8](unsafeUninitializedCapacity: capacity) { frame, written in
      var room: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(frame)[written...])
      }
      func step(_ result: Int) {
        // It is given the room that it asks for, so nothing is left that could go wrong.
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

  /// The smallest blocks that hold the content in one, 1 MB at most: a decoder reserves as much.
  private static func preferences(for count: Int) -> LZ4F_preferences_t {
    var preferences = LZ4F_preferences_t()
    preferences.frameInfo.blockSizeID =
      count <= 64 << 10 ? LZ4F_max64KB : count <= 256 << 10 ? LZ4F_max256KB : LZ4F_max1MB
    preferences.frameInfo.blockMode = LZ4F_blockIndependent
    preferences.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled
    preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
    // 0 stands for "not said": the frame of nothing cannot say its size.
    preferences.frameInfo.contentSize = UInt64(count)
    preferences.autoFlush = 1
    return preferences
  }
}
