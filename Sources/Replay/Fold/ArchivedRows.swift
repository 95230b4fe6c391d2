package import Ledger
import Log

/// Archived rows, as they were when they left the database.
package struct ArchivedRows {
  fileprivate let fold: Fold

  /// Appends an event for each row, with the version after its tombstone.
  ///
  /// - Parameter tombstones: The last versions of the rows.
  /// - Returns: The number of rows.
  package func restore(
    into draft: inout Draft, tombstones: [StreamID: Int32]
  ) throws(OpsError) -> Int {
    var restorer = Restorer(fold: fold, draft: draft, tombstones: tombstones)
    try restorer.visitParentsFirst()
    draft = restorer.draft
    return restorer.count
  }

  private struct Restorer: RowVisitor {
    let fold: Fold
    var draft: Draft
    let tombstones: [StreamID: Int32]
    var count = 0

    mutating func visit<R: Row>(
      _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
    ) throws(OpsError) {
      for slot in fold[keyPath: table].slots {
        guard let row = slot.row, let version = tombstones[slot.stream] else { continue }
        try draft.load(tombstone: version, of: R.self, as: slot.stream)
        let columns = R.columns.filter { $0.name != "version" }
        let values = columns.map { ColumnValue($0.name, $0.get(row)) }
        draft.append(StreamEvent<R>.common(.restored(values)), to: slot.stream)
        count += 1
      }
    }
  }
}

extension Session {
  /// Folds these streams up to an entry, from the database and its archived part.
  ///
  /// - Throws: `OPS_016` if the log of these streams is broken; `OPS_001` if a store is needed and none is available.
  package func rows(
    of streams: Set<StreamID>, at entry: Int64
  ) throws(OpsError) -> ArchivedRows {
    ArchivedRows(fold: try fold(streams, upTo: entry))
  }

  func fold(_ streams: Set<StreamID>, upTo entry: Int64) throws(OpsError) -> Fold {
    let snapshot = try SharedSnapshot(self)
    defer { snapshot.end() }
    let fold = try Slice.streams(Array(streams)).fold(
      on: try snapshot.reader(), entries: 0...max(0, entry), ReplayProgress())
    try fold.requireSound()
    return fold
  }
}
