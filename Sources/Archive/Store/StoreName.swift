import Ledger

/// The name of a file of a store: one to sixteen parts of letters, digits, `.` and `-`, with `/` between
/// them, each of which begins with a letter or a digit. Nothing else leads out of a store, hides in it,
/// or has to be escaped anywhere.
struct StoreName: Equatable, Sendable {
  let text: String
  /// The directories that it lies in, from the top.
  let folders: [String]
  /// Its last part.
  let leaf: String

  private static let partsMax = 16
  private static let partBytesMax = 200

  /// - Throws: `OPS_013` where it is no such name.
  init(_ text: String) throws(OpsError) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= Self.partsMax, let leaf = parts.last, parts.allSatisfy(Self.isPart) else {
      throw OpsError(.notAllowed, "\(text.debugDescription) is no name for a file of a store")
    }
    self.text = text
    self.folders = parts.dropLast()
    self.leaf = leaf
  }

  /// Whether it is the last part of a file's name, and never a directory's.
  static func isOfFile(_ part: String) -> Bool {
    part.hasSuffix(".lz4") || part.hasSuffix(".json")
  }

  static func isPart(_ part: String) -> Bool {
    guard let first = part.utf8.first, isAlphanumeric(first) else { return false }
    return part.utf8.count <= partBytesMax
      && part.utf8.allSatisfy {
        isAlphanumeric($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
      }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "a")...UInt8(ascii: "z"):
      true
    default: false
    }
  }

  /// The directories that everything beginning so lies in.
  ///
  /// - Throws: `OPS_013` where no name of a store begins so.
  static func folders(ofPrefix prefix: String) throws(OpsError) -> [String] {
    if prefix.isEmpty { return [] }
    return try StoreName(prefix.hasSuffix("/") ? prefix + "x" : prefix).folders
  }
}
