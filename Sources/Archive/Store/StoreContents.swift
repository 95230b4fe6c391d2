public import Ledger

/// The files of a store with their indexes.
public struct StoreContents {
  public internal(set) var segments: [(SegmentList.Segment, SegmentIndex)] = []
  public internal(set) var snapshots: [(SnapshotList.Snapshot, SnapshotIndex)] = []
  /// Files whose index cannot be read, and entries in no file.
  public internal(set) var faults: [String] = []

  fileprivate mutating func add(_ error: OpsError) throws(OpsError) {
    guard [.storeDiverged, .notFound, .notAllowed].contains(error.code) else { throw error }
    faults.append(error.message)
  }
}

extension Store {
  /// Reads the indexes, and continues after a damaged one.
  public func contents() throws(OpsError) -> StoreContents {
    try readingWhole([files]) { () throws(OpsError) in
      var contents = StoreContents()
      let list = try foundSegments()
      contents.faults = list.holes.map(\.error.message)
      for segment in list.segments {
        do throws(OpsError) {
          contents.segments.append((segment, try reader(of: segment).index))
        } catch { try contents.add(error) }
      }
      for snapshot in try snapshots().snapshots {
        do throws(OpsError) {
          contents.snapshots.append((snapshot, try reader(of: snapshot).index))
        } catch { try contents.add(error) }
      }
      return (contents, isFine: contents.faults.isEmpty)
    }
  }
}
