public import JSON

/// A difference between two JSON values.
public struct JSONDifference: Equatable, Sendable {
  /// `patterns[2].probability`; empty for the whole value.
  public var path: String
  /// Nil if only the new value has the path.
  public var from: JSON?
  /// Nil if only the old value has the path.
  public var to: JSON?

  /// The differences in the order of their paths.
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
