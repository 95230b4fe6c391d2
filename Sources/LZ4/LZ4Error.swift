/// Why bytes are not the frame that they should be.
public enum LZ4Error: Error, Equatable, Sendable {
  /// They do not begin as a frame does.
  case notAFrame
  /// They end before the frame does.
  case truncated
  /// They go on after the frame's end: by so many bytes.
  case trailingBytes(Int)
  /// The content is, or says that it is, larger than the caller can use.
  case tooLarge(bytesMax: Int)
  /// What liblz4 found wrong.
  case damaged(String)
}

extension LZ4Error: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notAFrame: "not an LZ4 frame"
    case .truncated: "an LZ4 frame that is cut short"
    case .trailingBytes(let count): "\(count) bytes after the end of an LZ4 frame"
    case .tooLarge(let bytesMax): "an LZ4 frame of more than \(bytesMax) bytes of content"
    case .damaged(let what): "a damaged LZ4 frame (\(what))"
    }
  }
}
