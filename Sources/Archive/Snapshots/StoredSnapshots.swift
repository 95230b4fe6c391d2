import Crypto
public import Ledger
public import Log
public import Replay
import Synchronization

/// The snapshots of all available stores, from which states are made.
///
/// They save time and are needed for nothing: one that cannot be used is skipped with a warning.
public final class StoredSnapshots: StateSnapshots {
  private struct Candidate {
    let store: Store
    let snapshot: SnapshotList.Snapshot
    /// Set after the snapshot was opened and checked.
    var opened: StoredSnapshot?
  }

  private let target: Session.Target
  private let warn: @Sendable (String) -> Void
  /// The oldest first.
  private let candidates: Mutex<[Candidate]>
  private let last = Mutex<StoredSnapshot?>(nil)

  /// - Parameters:
  ///   - places: Stores. One that cannot be read is skipped.
  ///   - warn: Gets a line for each store or snapshot that is skipped.
  public init(
    _ target: Session.Target, _ places: [any ObjectStore],
    warn: @escaping @Sendable (String) -> Void
  ) {
    self.target = target
    self.warn = warn
    var found: [Candidate] = []
    for files in places {
      do throws(OpsError) {
        let store = try Store.existing(files)
        found += try store.snapshots().snapshots.map { Candidate(store: store, snapshot: $0) }
      } catch { warn("\(error)") }
    }
    found.sort { $0.snapshot.name.entry < $1.snapshot.name.entry }
    candidates = Mutex(found)
  }

  /// The entry of the snapshot that was used last.
  public var given: Int64? { last.withLock { $0?.entry } }

  public func newest(
    upTo entry: Int64, on session: Session
  ) throws(OpsError) -> (any StateSnapshot)? {
    let snapshot = try candidates.withLock { (candidates) throws(OpsError) in
      try newest(upTo: entry, among: &candidates, session)
    }
    if let snapshot { last.withLock { $0 = snapshot } }
    return snapshot
  }

  private func newest(
    upTo entry: Int64, among candidates: inout [Candidate], _ session: Session
  ) throws(OpsError) -> StoredSnapshot? {
    while let at = candidates.lastIndex(where: { $0.snapshot.name.entry <= entry }) {
      if let opened = candidates[at].opened { return opened }
      do throws(OpsError) {
        let opened = try open(candidates[at], session)
        candidates[at].opened = opened
        return opened
      } catch {
        // An error of the database says nothing about the snapshot.
        guard error.store?.place != nil else { throw error }
        warn("\(error); not used")
        candidates.remove(at: at)
      }
    }
    return nil
  }

  public func giveUp(_ error: OpsError) -> Bool {
    let isFound = candidates.withLock { candidates in
      let at = candidates.firstIndex {
        $0.snapshot.file.name == error.store?.file && $0.store.files.place == error.store?.place
      }
      guard let at else { return false }
      candidates.remove(at: at)
      return true
    }
    if isFound { warn("\(error); not used") }
    return isFound
  }

  /// Opens a snapshot, and checks that it has this release's columns and this database's history.
  private func open(
    _ candidate: Candidate, _ session: Session
  ) throws(OpsError) -> StoredSnapshot {
    let reader = try candidate.store.reader(of: candidate.snapshot)
    let index = reader.index
    func refuse(_ kind: StoreFault.Kind, _ why: String) -> OpsError {
      OpsError(
        store: kind, "\(index.name) of \(candidate.store.files.place) \(why)",
        at: candidate.store.files.place, file: candidate.snapshot.file.name)
    }
    for rowType in RowType.allCases {
      let (table, columns) = StateRows.columns(of: rowType)
      // A snapshot of an earlier release has no run of a new row type.
      guard index.run(table).map({ $0.columns == columns }) ?? true else {
        throw refuse(.newerFormat, "has other columns of \(table) than this release")
      }
    }
    guard try session.ledgerRecord().identity == index.identity else {
      throw refuse(.anotherLedger, "belongs to another ledger")
    }
    // Diverged histories differ in the last event up to any later entry: entry numbers jump where a history begins.
    if let leaf = try session.lastLeaf(upTo: index.name.entry), leaf != index.lastLeaf {
      throw refuse(.diverged, "belongs to another history than this database")
    }
    let erasures = try session.erasures(upTo: .max)
    if try candidate.store.holdsErased(candidate.snapshot, erasures, target) {
      throw refuse(.diverged, "still has erased content; the next push to that store removes it")
    }
    return StoredSnapshot(
      store: candidate.store, snapshot: candidate.snapshot, index: index, opened: reader.opened)
  }
}

/// A snapshot from which a state can be made.
struct StoredSnapshot: StateSnapshot {
  let store: Store
  let snapshot: SnapshotList.Snapshot
  let index: SnapshotIndex
  let opened: FramedFile.Opened

  var entry: Int64 { index.name.entry }

  func lines(
    of rowType: RowType, among streams: Set<StreamID>?,
    _ body: (UnsafeRawBufferPointer) throws(OpsError) -> Void
  ) throws(OpsError) {
    let reader = SnapshotReader(opened, index)
    guard let run = reader.index.run(StateRows.columns(of: rowType).table) else { return }
    try reader.lines(of: run, among: streams, body)
  }

  func gone(_ body: (StreamID, RowType, Int32) throws(OpsError) -> Void) throws(OpsError) {
    let reader = SnapshotReader(opened, index)
    guard let run = reader.index.run(SnapshotIndex.gone) else { return }
    try reader.lines(of: run) { (line) throws(OpsError) in
      let parts = String(decoding: line.dropLast(), as: UTF8.self).split(separator: "\t")
      guard parts.count == 3, let stream = StreamID(String(parts[0])),
        let rowType = RowType(rawValue: String(parts[1])), let version = Int32(parts[2])
      else { throw reader.damage("it has an unreadable line of a removed row") }
      try body(stream, rowType, version)
    }
  }

  func damage(_ what: String) -> OpsError {
    FramedFile.error(snapshot.file, store.files, Damage(what), entries: nil)
  }
}
