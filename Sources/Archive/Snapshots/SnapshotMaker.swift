import Crypto
public import Ledger
public import Log
public import Replay

public struct SnapshotReport: Sendable {
  public let index: SnapshotIndex
  /// False if the store had a snapshot of this entry, which was verified.
  public let isNew: Bool
  /// The result of the push before it.
  public let push: PushReport
}

/// Makes a snapshot of a sealed entry, after a push: a snapshot is of a store's own history.
///
/// The rows are the fold of the log, so faults of the live tables do not matter.
public struct SnapshotMaker {
  private let session: Session
  private let files: any ObjectStore
  private let progress: ReplayProgress

  public init(
    _ session: Session, _ files: any ObjectStore, _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.session = session
    self.files = files
    self.progress = progress
  }

  /// - Parameter entry: The entry of the snapshot; nil: the last sealed one.
  public func run(at entry: Int64? = nil) throws(OpsError) -> SnapshotReport {
    let push = try Pusher(session, files).run()
    // Another push may merge segments meanwhile.
    return try readingWhole([files]) { () throws(OpsError) -> (SnapshotReport, isFine: Bool) in
      let report = try make(at: entry, after: push)
      return (report, isFine: true)
    }
  }

  private func make(at entry: Int64?, after push: PushReport) throws(OpsError) -> SnapshotReport {
    let store = try Store.existing(files)
    guard let lastEntry = try store.segments().segments.last else {
      throw OpsError(
        .notFound, "the ledger has no sealed entry yet, so no snapshot was made",
        hint: "see `opsledger status`")
    }
    let name = SnapshotName(entry ?? lastEntry.name.entries.upperBound)
    let there = try store.snapshots().snapshots.last { $0.name.entry == name.entry }
    if let there { return try report(store, there, isNew: false, push) }
    let tree = try store.tree(upTo: name.entry)
    let writer = try SnapshotWriter(files, name, identity: store.record.identity)
    try write(to: writer, at: name.entry)
    let made = try writer.finish(
      size: tree.size, root: tree.root(TreeHasher()),
      lastLeaf: try session.lastLeaf(upTo: name.entry) ?? .zero)
    let file = try files.written(name.path)
    return try report(store, .init(name: name, file: file), isNew: made.isNew, push)
  }

  /// Verifies the snapshot before anything relies on it.
  private func report(
    _ store: Store, _ snapshot: SnapshotList.Snapshot, isNew: Bool, _ push: PushReport
  ) throws(OpsError) -> SnapshotReport {
    let reader = try store.reader(of: snapshot)
    try reader.verify()
    return SnapshotReport(index: reader.index, isNew: isNew, push: push)
  }

  private func write(to writer: SnapshotWriter, at entry: Int64) throws(OpsError) {
    let rows = try StateRows(session.target, at: entry, order: RowType.allCases, progress)
    defer { rows.end() }
    try writer.writeRuns { (rowType, body) throws(OpsError) in
      try rows.each(of: rowType, pieceBytes: SnapshotWriter.frameTextBytes, body)
    }
  }
}

extension Store {
  /// The tree over the log up to a stored entry.
  ///
  /// - Throws: `OPS_011` if the entry is not stored.
  fileprivate func tree(upTo entry: Int64) throws(OpsError) -> MerkleFrontier {
    guard let segment = try segments().segment(with: entry) else {
      throw OpsError(
        .notFound, "entry \(entry) is in no segment of \(files.place)",
        hint: "see `opsledger archive list`")
    }
    return try reader(of: segment).tree(upTo: entry)
  }
}
