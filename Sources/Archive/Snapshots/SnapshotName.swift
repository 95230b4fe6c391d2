import Ledger

/// The name of a snapshot's file: its entry and its generation.
public struct SnapshotName: Hashable, Sendable, CustomStringConvertible {
  public static let folder = "snapshots/"

  public let entry: Int64
  /// 1, and one more each time the file was written again without erased content.
  public let generation: UInt32

  public init(_ entry: Int64, generation: UInt32 = 1) {
    self.entry = entry
    self.generation = generation
  }

  /// `snapshots/00000000000000050000.lz4`, later generations `….g2.lz4`.
  public var path: String {
    SegmentName.path(Self.folder, SegmentName.digits(entry), generation)
  }

  public var description: String { path }

  /// Reads a path; nil unless ``path`` gives it, and for an entry after ``EntryNumber/last``.
  public init?(path: String) {
    guard let (entries, generation) = SegmentName.parts(of: path, in: Self.folder),
      entries.count == 1, (0...EntryNumber.last).contains(entries[0])
    else { return nil }
    self.init(entries[0], generation: generation)
    guard self.path == path else { return nil }
  }
}
