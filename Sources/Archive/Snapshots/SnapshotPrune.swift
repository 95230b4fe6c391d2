public import Ledger

extension Store {
  /// Removes all but the newest snapshots, and what later generations have replaced.
  ///
  /// - Parameters:
  ///   - keep: So many stay, at least one.
  ///   - dryRun: Nothing is removed.
  /// - Returns: Those that were, or would be.
  public func pruneSnapshots(keep: Int, dryRun: Bool) throws(OpsError) -> [StoredFile] {
    let list = try snapshots()
    let old = list.snapshots.dropLast(max(1, keep)).map(\.file)
    let replaced = try files.list(SnapshotName.folder).filter { file in
      list.superseded.contains { $0.path == file.name }
    }
    let going = replaced + old
    if !dryRun { for file in going { try files.remove(file.name) } }
    return going
  }
}
