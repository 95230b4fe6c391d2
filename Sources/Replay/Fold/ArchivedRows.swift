package import Ledger
import Log

/// Rows that left, as they were.
package struct ArchivedRows {
  private let fold: Fold

  /// Appends what brings them back, each on from its tombstone.
  ///
  /// - Parameter tombstones: Their last versions.
  /// - Returns: How many.
  package func restore(
    into draft: inout Draft, tombstones: [StreamID: Int32]
  ) throws(OpsError) -> Int {
    var restorer = Restorer(fold: fold, draft: draft, tombstones: tombstones)
    try restorer.visitParentsFirst()
    draft = restorer.draft
    return restorer.count
  }

  fileprivate init(fold: Fold) { self.fold = fold }

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
  /// Folds these streams up to an entry, from the database and from what has left it.
  ///
  /// - Throws: `OPS_016` where the log is broken there; `OPS_001` where no store is at hand and one is needed.
  package func rows(
    of streams: Set<StreamID>, at entry: Int64
  ) throws(OpsError) -> ArchivedRows {
    let snapshot = try SharedSnapshot(self)
    defer { snapshot.end() }
    let fold = try Slice.streams(Array(streams)).fold(
      on: try snapshot.reader(), entries: 0...max(0, entry), ReplayProgress())
    try fold.requireSound()
    return ArchivedRows(fold: fold)
  }
}
