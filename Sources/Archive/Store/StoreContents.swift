public import Ledger

/// The files of a store, by what their indexes say.
public struct StoreContents {
  public internal(set) var segments: [(SegmentList.Segment, SegmentIndex)] = []
  public internal(set) var snapshots: [(SnapshotList.Snapshot, SnapshotIndex)] = []
  /// Files whose index cannot be read, and entries that no file has.
  public internal(set) var faults: [String] = []
}

extension Store {
  /// Reads the indexes, and goes on after one that is damaged.
  public func contents() throws(OpsError) -> StoreContents {
    try readingWhole([files]) { () throws(OpsError) in
      var contents = StoreContents()
      let list = try foundSegments()
      contents.faults = list.holes.map(\.error.message)
      for segment in list.segments {
        try contents.noting { (contents) throws(OpsError) in
          contents.segments.append((segment, try reader(of: segment).index))
        }
      }
      for snapshot in try snapshots().snapshots {
        try contents.noting { (contents) throws(OpsError) in
          contents.snapshots.append((snapshot, try reader(of: snapshot).index))
        }
      }
      return (contents, isFine: contents.faults.isEmpty)
    }
  }
}

extension StoreContents {
  fileprivate mutating func noting(
    _ body: (inout StoreContents) throws(OpsError) -> Void
  ) throws(OpsError) {
    do throws(OpsError) { try body(&self) } catch {
      guard [.storeDiverged, .notFound, .notAllowed].contains(error.code) else { throw error }
      faults.append(error.message)
    }
  }
}
