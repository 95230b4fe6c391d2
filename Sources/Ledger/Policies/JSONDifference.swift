public import JSON

/// One place in which two JSON values differ.
public struct JSONDifference: Equatable, Sendable {
  /// `patterns[2].probability`; empty for the whole.
  public var path: String
  /// Nil where there was nothing.
  public var from: JSON?
  /// Nil where there is nothing any more.
  public var to: JSON?

  /// The places in which two values differ, in the order of their paths.
  public static func between(_ from: JSON, _ to: JSON) -> [JSONDifference] {
    var found: [JSONDifference] = []
    compare(from, to, at: "", &found)
    return found
  }

  private static func compare(
    _ from: JSON?, _ to: JSON?, at path: String, _ found: inout [JSONDifference]
  ) {
    if from == to { return }
    if let a = from?.objectValue, let b = to?.objectValue {
      for key in Set(a.keys).union(b.keys).sorted() {
        compare(a[key], b[key], at: path.isEmpty ? key : "\(path).\(key)", &found)
      }
    } else if let a = from?.arrayValue, let b = to?.arrayValue {
      for index in 0..<max(a.count, b.count) {
        compare(
          index < a.count ? a[index] : nil, index < b.count ? b[index] : nil,
          at: "\(path)[\(index)]", &found)
      }
    } else {
      found.append(JSONDifference(path: path, from: from, to: to))
    }
  }
}
