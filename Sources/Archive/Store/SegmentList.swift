import Ledger

/// The segments of a store, which together cover each entry once.
public struct SegmentList: Sendable {
  public struct Segment: Equatable, Sendable {
    public let name: SegmentName
    public let file: StoredFile
  }

  /// By entries, without a hole between them.
  public private(set) var segments: [Segment] = []
  /// Whose entries a larger segment or a later generation has: what a merge or an erasure that was cut short left.
  public private(set) var superseded: [SegmentName] = []
  /// Files in the folder that are no segments.
  public private(set) var strangers: [String] = []

  /// The last entry that the store covers; 0 where it is empty.
  public var tip: Int64 { segments.last?.name.entries.upperBound ?? 0 }

  /// - Throws: `OPS_015` where entries are in no segment, or two segments overlap.
  init(_ files: [StoredFile], place: String) throws(OpsError) {
    var found: [Segment] = []
    for file in files {
      if let name = SegmentName(path: file.name) {
        found.append(Segment(name: name, file: file))
      } else {
        strangers.append(file.name)
      }
    }
    found.sort { $0.name.comes(before: $1.name) }
    for segment in found {
      let entries = segment.name.entries
      if entries.upperBound <= tip {
        superseded.append(segment.name)
        continue
      }
      guard entries.lowerBound == tip + 1 else {
        throw Self.broken(entries.lowerBound, after: tip, segment.name, place)
      }
      segments.append(segment)
    }
  }

  private static func broken(
    _ first: Int64, after tip: Int64, _ name: SegmentName, _ place: String
  ) -> OpsError {
    guard first <= tip else {
      return OpsError(
        .storeDiverged, "entries \(tip + 1) to \(first - 1) are in no segment of \(place)",
        hint: "put the missing file back from another copy of the store")
    }
    return OpsError(
      .storeDiverged, "\(name.path) of \(place) overlaps the segment before it",
      hint: "see `opsledger archive verify`")
  }
}

extension SegmentName {
  /// Of segments that begin alike, the one that replaces the others comes first.
  fileprivate func comes(before other: SegmentName) -> Bool {
    let (a, b) = (entries, other.entries)
    if a.lowerBound != b.lowerBound { return a.lowerBound < b.lowerBound }
    if a.upperBound != b.upperBound { return a.upperBound > b.upperBound }
    return generation > other.generation
  }
}
