import Crypto
public import Ledger
public import Log
public import Replay
import Synchronization

/// The snapshots of stores, for states that are made from them.
///
/// They save time and are needed for nothing: what cannot be used is said, and passed over.
public final class StoredSnapshots: StateSnapshots {
  /// A snapshot in a store that is at hand.
  private struct Candidate {
    let store: Store
    let snapshot: SnapshotList.Snapshot
    /// Opened, and of the database's own history.
    var opened: StoredSnapshot?
  }

  private let target: Session.Target
  private let warn: @Sendable (String) -> Void
  /// The oldest first.
  private let candidates: Mutex<[Candidate]>
  private let last = Mutex<StoredSnapshot?>(nil)

  /// - Parameters:
  ///   - places: Stores; those that cannot be read are passed over.
  ///   - warn: Gets what cannot be used, and why.
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

  /// The entry of the snapshot that was given last.
  public var given: Int64? { last.withLock { $0?.entry } }

  public func newest(
    upTo entry: Int64, on session: Session
  ) throws(OpsError) -> (any StateSnapshot)? {
    let given = candidates.withLock { candidates in
      Result { () throws(OpsError) in try newest(upTo: entry, among: &candidates, session) }
    }
    let snapshot = try given.get()
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
        // What is wrong with the database is no fault of the snapshot.
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

  /// Opens one, and makes sure that it is of this release's columns and of this database's history.
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
      // One from before there were rows of a noun has no run of them.
      guard index.run(table).map({ $0.columns == columns }) ?? true else {
        throw refuse(.newerFormat, "has other columns of \(table) than this release")
      }
    }
    guard try session.ledgerRecord().identity == index.identity else {
      throw refuse(.anotherLedger, "is of another ledger")
    }
    // Histories that went on apart differ in the last event up to any later entry: numbers jump where one begins.
    if let leaf = try session.lastLeaf(upTo: index.name.entry), leaf != index.lastLeaf {
      throw refuse(.diverged, "is of another history than this database's")
    }
    let erasures = try session.erasures(upTo: .max)
    if try candidate.store.holdsErased(candidate.snapshot, erasures, target) {
      throw refuse(
        .diverged, "still has what was erased since, until the next push into that store")
    }
    return StoredSnapshot(
      store: candidate.store, snapshot: candidate.snapshot, index: index, opened: reader.opened)
  }
}

/// One that a state can be made from.
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
      else { throw damage("it has a line of a gone row that cannot be read") }
      try body(stream, rowType, version)
    }
  }

  func damage(_ what: String) -> OpsError {
    FramedFile.error(snapshot.file, store.files, Damage(what), entries: nil)
  }
}
