import Ledger

/// The name of a segment's file: its entries, with numbers that no entry has, and its generation.
public struct SegmentName: Hashable, Sendable, CustomStringConvertible {
  public static let folder = "segments/"

  public let entries: ClosedRange<Int64>
  /// 1, and one more each time the file was written again without erased content.
  public let generation: UInt32

  public init(_ entries: ClosedRange<Int64>, generation: UInt32 = 1) {
    self.entries = entries
    self.generation = generation
  }

  /// `segments/00000000000000000001-00000000000000050000.lz4`, later generations `….g2.lz4`.
  public var path: String {
    let (first, last) = (Self.digits(entries.lowerBound), Self.digits(entries.upperBound))
    return Self.path(Self.folder, "\(first)-\(last)", generation)
  }

  public var description: String { path }

  static func path(_ folder: String, _ stem: String, _ generation: UInt32) -> String {
    "\(folder)\(stem)\(generation == 1 ? "" : ".g\(generation)").lz4"
  }

  /// Twenty digits, so that names sort as entries do.
  static func digits(_ entry: Int64) -> String {
    let digits = String(entry)
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits
  }

  static let generationMax: UInt32 = 1_000_000

  /// The generation of a file that replaces one of this generation.
  ///
  /// - Throws: `OPS_015` if there is none left.
  static func generation(
    after number: UInt32, of path: String, in place: String
  ) throws(OpsError) -> UInt32 {
    guard number < generationMax else {
      throw OpsError(
        store: .damaged,
        "\(path) in \(place) still holds erased content: it cannot be written again, because generations "
          + "end at \(generationMax)",
        hint: "rename the file to a smaller generation, then see `opsledger archive verify`",
        at: place, file: path)
    }
    return number + 1
  }

  /// Reads `00…1-00…5.g2` from a path: the numbers, and the generation.
  static func parts(of path: String, in folder: String) -> (entries: [Int64], generation: UInt32)? {
    guard path.hasPrefix(folder), path.hasSuffix(".lz4") else { return nil }
    let parts = path.dropFirst(folder.count).dropLast(4).split(
      separator: ".", omittingEmptySubsequences: false)
    let entries = parts[0].split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
    guard parts.count == 2 else { return parts.count > 2 ? nil : (entries.compactMap(\.self), 1) }
    guard parts[1].hasPrefix("g"), let number = UInt32(parts[1].dropFirst()),
      (2...generationMax).contains(number)
    else { return nil }
    return (entries.compactMap(\.self), number)
  }

  /// Reads a path; nil unless ``path`` gives it, and for entries after ``EntryNumber/last``.
  public init?(path: String) {
    guard let (entries, generation) = Self.parts(of: path, in: Self.folder), entries.count == 2,
      0 <= entries[0], entries[0] <= entries[1], entries[1] <= EntryNumber.last
    else { return nil }
    self.init(entries[0]...entries[1], generation: generation)
    guard self.path == path else { return nil }
  }
}
