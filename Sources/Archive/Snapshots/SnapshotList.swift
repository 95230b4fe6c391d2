public import Ledger

/// The snapshots of a store, the oldest first.
public struct SnapshotList: Sendable {
  public struct Snapshot: Equatable, Sendable {
    public let name: SnapshotName
    public let file: StoredFile
  }

  public private(set) var snapshots: [Snapshot] = []
  /// Of which there is a later generation: what an erasure that was cut short left.
  public private(set) var superseded: [SnapshotName] = []
  /// Files in the folder that are no snapshots.
  public private(set) var unknownFiles: [String] = []

  init(_ files: [StoredFile]) {
    for file in files {
      if let name = SnapshotName(path: file.name) {
        snapshots.append(Snapshot(name: name, file: file))
      } else {
        unknownFiles.append(file.name)
      }
    }
    snapshots.sort {
      ($0.name.entry, $0.name.generation) < ($1.name.entry, $1.name.generation)
    }
    // Of one entry the last generation counts.
    var last: [Snapshot] = []
    for snapshot in snapshots {
      if let before = last.last, before.name.entry == snapshot.name.entry {
        superseded.append(before.name)
        last.removeLast()
      }
      last.append(snapshot)
    }
    snapshots = last
  }
}

extension Store {
  public func snapshots() throws(OpsError) -> SnapshotList {
    SnapshotList(try files.list(SnapshotName.folder))
  }

  /// Opens a snapshot.
  ///
  /// - Throws: `OPS_015` where it is damaged, or another ledger's.
  public func reader(of snapshot: SnapshotList.Snapshot) throws(OpsError) -> SnapshotReader {
    let reader = try SnapshotReader(files, snapshot.file)
    guard reader.index.identity == record.identity else {
      throw OpsError(
        store: .anotherLedger,
        "\(snapshot.name) of \(files.place) is a snapshot of another ledger "
          + "(\(reader.index.identity))", hint: "remove it; a new one is made any time",
        at: files.place, file: snapshot.file.name)
    }
    return reader
  }
}
