public import Ledger

/// The snapshots of a store, the oldest first.
public struct SnapshotList: Sendable {
  public struct Snapshot: Equatable, Sendable {
    public let name: SnapshotName
    public let file: StoredFile
  }

  public private(set) var snapshots: [Snapshot] = []
  /// Snapshots with a later generation: an interrupted erasure left them.
  public private(set) var superseded: [SnapshotName] = []
  /// Files in the folder that are not snapshots.
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
    // The last generation of an entry counts.
    let all = snapshots
    snapshots = []
    for snapshot in all {
      if snapshots.last?.name.entry == snapshot.name.entry {
        superseded.append(snapshots.removeLast().name)
      }
      snapshots.append(snapshot)
    }
  }
}

extension Store {
  public func snapshots() throws(OpsError) -> SnapshotList {
    SnapshotList(try files.list(SnapshotName.folder))
  }

  /// Opens a snapshot.
  ///
  /// - Throws: `OPS_015` if it is damaged, or belongs to another ledger.
  public func reader(of snapshot: SnapshotList.Snapshot) throws(OpsError) -> SnapshotReader {
    let reader = try SnapshotReader(files, snapshot.file)
    guard reader.index.identity == record.identity else {
      throw OpsError(
        store: .anotherLedger,
        "\(snapshot.name) of \(files.place) is a snapshot of another ledger "
          + "(\(reader.index.identity))",
        hint: "remove the file; `opsledger snapshot create` makes a new one",
        at: files.place, file: snapshot.file.name)
    }
    return reader
  }
}
