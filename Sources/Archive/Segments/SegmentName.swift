import Ledger

/// What a segment's file is called: the entries that it covers, numbers that no entry has included, and which
/// writing of them it is.
public struct SegmentName: Hashable, Sendable {
  public static let folder = "segments/"

  public let entries: ClosedRange<Int64>
  /// 1, and one more for each time that it was written again without what was erased.
  public let generation: UInt32

  public init(_ entries: ClosedRange<Int64>, generation: UInt32 = 1) {
    self.entries = entries
    self.generation = generation
  }

  /// `segments/00000000000000000001-00000000000000050000.lz4`, later ones `….g2.lz4`.
  public var path: String {
    let suffix = generation == 1 ? "" : ".g\(generation)"
    return
      "\(Self.folder)\(Self.digits(entries.lowerBound))-\(Self.digits(entries.upperBound))\(suffix).lz4"
  }

  /// Twenty digits, so that the order of names is that of entries.
  static func digits(_ entry: Int64) -> String {
    let digits = String(entry)
    return String(repeating: "0", count: 20 - digits.utf8.count) + digits
  }

  /// How often a file can be written again.
  static let generationMax: UInt32 = 1_000_000

  /// The number of a file that is written in place of one of this number.
  ///
  /// - Throws: `OPS_015` where there is none left.
  static func generation(
    after number: UInt32, of path: String, in place: String
  ) throws(OpsError) -> UInt32 {
    guard number < generationMax else {
      throw OpsError(
        store: .damaged,
        "\(path) in \(place) cannot be written again: generations end at \(generationMax)",
        hint: "give it a smaller number by hand, then see `opsledger archive verify`",
        at: place, file: path)
    }
    return number + 1
  }

  /// Reads the part of a name that says which writing a file is: none, or `g2`.
  static func generation(_ parts: ArraySlice<Substring>) -> UInt32? {
    guard let part = parts.first else { return 1 }
    guard part.hasPrefix("g"), let number = UInt32(part.dropFirst()),
      (2...generationMax).contains(number)
    else { return nil }
    return number
  }

  /// Reads a path; nil for one that ``path`` does not give, and for entries beyond ``EntryNumber/last``.
  public init?(path: String) {
    guard path.hasPrefix(Self.folder), path.hasSuffix(".lz4") else { return nil }
    let parts = path.dropFirst(Self.folder.count).dropLast(4).split(
      separator: ".", omittingEmptySubsequences: false)
    let numbers = parts[0].split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count <= 2, numbers.count == 2, let first = Int64(numbers[0]),
      let last = Int64(numbers[1]), first >= 0, first <= last, last <= EntryNumber.last,
      let generation = Self.generation(parts.dropFirst())
    else { return nil }
    self.init(first...last, generation: generation)
    // One segment, one path.
    guard self.path == path else { return nil }
  }
}

extension SegmentName: CustomStringConvertible {
  public var description: String { path }
}
