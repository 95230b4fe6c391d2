public import Ledger

extension Store {
  /// Removes all but the newest snapshots, and those with a later generation.
  ///
  /// - Parameters:
  ///   - keep: The number that stays, at least one.
  ///   - dryRun: Removes nothing.
  /// - Returns: The files that were removed, or would be.
  public func pruneSnapshots(keep: Int, dryRun: Bool) throws(OpsError) -> [StoredFile] {
    let list = try snapshots()
    let replaced = try files.list(SnapshotName.folder).filter { file in
      list.superseded.contains { $0.path == file.name }
    }
    let going = replaced + list.snapshots.dropLast(max(1, keep)).map(\.file)
    if !dryRun { for file in going { try files.remove(file.name) } }
    return going
  }
}
