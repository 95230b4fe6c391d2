import Crypto
public import Ledger
public import Log
public import Replay

/// What making a snapshot came to.
public struct SnapshotReport: Sendable {
  public let index: SnapshotIndex
  /// False where there was one at this entry, which was read and is sound.
  public let isNew: Bool
  /// What the push before it did.
  public let push: PushReport
}

/// Makes a snapshot, at the newest entry that is sealed or an earlier one. That is pushed first: a snapshot is of a
/// store's own history.
///
/// The rows are the fold of the log, not the live tables: what is wrong with those is not kept.
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

  /// - Parameter entry: As of which; nil: the newest that is sealed.
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
      throw OpsError(.notFound, "nothing is sealed yet, of which a snapshot could be made")
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
    guard let file = try files.list(name.path).first(where: { $0.name == name.path }) else {
      throw OpsError(store: .damaged, "\(name) was written to \(files.place) and is not there")
    }
    return try report(store, .init(name: name, file: file), isNew: made.isNew, push)
  }

  /// Reads it back before anything relies on it.
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
  /// The tree over the log up to an entry that is stored.
  ///
  /// - Throws: `OPS_011` for one that is not.
  func tree(upTo entry: Int64) throws(OpsError) -> MerkleFrontier {
    guard let segment = try segments().segments.first(where: { $0.name.entries.contains(entry) })
    else { throw OpsError(.notFound, "entry \(entry) is in no segment of \(files.place)") }
    let reader = try reader(of: segment)
    if segment.name.entries.upperBound == entry { return reader.index.after }
    var tree = reader.index.before
    let (leaves, hasher) = (LeafHasher(), TreeHasher())
    try reader.lines(of: segment.name.entries.lowerBound...entry) { (_, event) throws(OpsError) in
      tree.append(try leaves.archivedLeaf(of: event), hasher)
    }
    return tree
  }
}
