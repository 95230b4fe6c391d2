import Ledger

/// What a snapshot's file is called: the entry as of which its rows are, and which writing of it this is.
public struct SnapshotName: Hashable, Sendable {
  public static let folder = "snapshots/"

  public let entry: Int64
  /// 1, and one more for each time that it was written again without what was erased.
  public let generation: UInt32

  public init(_ entry: Int64, generation: UInt32 = 1) {
    self.entry = entry
    self.generation = generation
  }

  /// `snapshots/00000000000000050000.lz4`, later ones `….g2.lz4`.
  public var path: String {
    let suffix = generation == 1 ? "" : ".g\(generation)"
    return "\(Self.folder)\(SegmentName.digits(entry))\(suffix).lz4"
  }

  /// Reads a path; nil for one that ``path`` does not give, and for an entry beyond ``EntryNumber/last``.
  public init?(path: String) {
    guard path.hasPrefix(Self.folder), path.hasSuffix(".lz4") else { return nil }
    let parts = path.dropFirst(Self.folder.count).dropLast(4).split(
      separator: ".", omittingEmptySubsequences: false)
    guard parts.count <= 2, let entry = Int64(parts[0]), (0...EntryNumber.last).contains(entry),
      let generation = SegmentName.generation(parts.dropFirst())
    else { return nil }
    self.init(entry, generation: generation)
    // One snapshot, one path.
    guard self.path == path else { return nil }
  }
}

extension SnapshotName: CustomStringConvertible {
  public var description: String { path }
}
