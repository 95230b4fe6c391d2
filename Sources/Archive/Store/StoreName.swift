import Ledger

/// The name of a file of a store: one to sixteen parts of letters, digits, `.` and `-`, with `/` between them. Each part
/// begins with a letter or a digit. So no name leads out of the store, is hidden, or needs escapes.
struct StoreName: Equatable, Sendable {
  let text: String
  /// All parts but the last, which are directories.
  let folders: [String]
  let leaf: String

  private static let partsMax = 16
  private static let partBytesMax = 200

  /// - Throws: `OPS_013` if the text is not such a name.
  init(_ text: String) throws(OpsError) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= Self.partsMax, let leaf = parts.last, parts.allSatisfy(Self.isPart) else {
      throw OpsError(
        .notAllowed, "\(text.debugDescription) cannot be the name of a file in a store")
    }
    self.text = text
    self.folders = parts.dropLast()
    self.leaf = leaf
  }

  /// Whether the part can only be the name of a file, not of a directory.
  static func isOfFile(_ part: String) -> Bool {
    part.hasSuffix(".lz4") || part.hasSuffix(".json")
  }

  static func isPart(_ part: String) -> Bool {
    guard let first = part.utf8.first, first.isAlphanumeric else { return false }
    return part.utf8.count <= partBytesMax
      && part.utf8.allSatisfy { $0.isAlphanumeric || ".-".utf8.contains($0) }
  }

  /// The directories of all files with this prefix.
  ///
  /// - Throws: `OPS_013` if no name of a file has this prefix.
  static func folders(ofPrefix prefix: String) throws(OpsError) -> [String] {
    if prefix.isEmpty { return [] }
    return try StoreName(prefix.hasSuffix("/") ? prefix + "x" : prefix).folders
  }
}

extension UInt8 {
  /// Whether it is an ASCII letter or digit.
  var isAlphanumeric: Bool {
    switch self {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"):
      true
    default: false
    }
  }
}
