/// Why bytes are not a valid frame.
public enum LZ4Error: Error, Equatable, Sendable {
  /// They do not begin with a frame's magic number.
  case notAFrame
  case truncated
  /// So many bytes follow the frame.
  case trailingBytes(Int)
  /// The content, or its size in the header, is larger than the caller allows.
  case tooLarge(bytesMax: Int)
  /// liblz4's reason.
  case damaged(String)
}

extension LZ4Error: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notAFrame: "not an LZ4 frame"
    case .truncated: "a truncated LZ4 frame"
    case .trailingBytes(let count): "\(count) bytes after the end of an LZ4 frame"
    case .tooLarge(let bytesMax): "an LZ4 frame of more than \(bytesMax) bytes of content"
    case .damaged(let what): "a damaged LZ4 frame (\(what))"
    }
  }
}
