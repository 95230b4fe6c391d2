import Crypto
public import Ledger
public import Log
public import Replay

/// A store, for `verify` to compare the database's log with.
public struct StoreHistory: StoredHistory {
  private let store: Store

  /// - Throws: `OPS_011` where nothing is stored there yet; `OPS_015` where it is another ledger's.
  public init(_ files: any ObjectStore, of session: Session) throws(OpsError) {
    store = try Store.existing(files)
    guard let own = try session.ledgerIdentity(), own != store.record.identity else { return }
    throw OpsError(
      store: .anotherLedger,
      "\(files.place) is the store of \(store.record.title) (\(store.record.identity)), "
        + "not of this ledger (\(own))", hint: "name this ledger's store")
  }

  public var place: String { store.files.place }

  public func roots() throws(OpsError) -> [RecordedRoot] {
    try goingOn { (list) throws(OpsError) in
      var roots: [RecordedRoot] = []
      for segment in list.segments {
        let index = try store.reader(of: segment).index
        roots.append(
          RecordedRoot(
            entry: segment.name.entries.upperBound, root: index.root, frontier: index.after))
      }
      return roots
    }
  }

  public func firstDifference(
    _ entries: ClosedRange<Int64>, _ session: Session
  ) throws(OpsError) -> Int64? {
    try goingOn { (list) throws(OpsError) in
      try store.firstDifference(entries, list, session)
    }
  }

  /// Reads, and begins again where a file was replaced meanwhile: a push merges segments, and writes them again without
  /// what was erased.
  private func goingOn<R>(_ read: (SegmentList) throws(OpsError) -> R) throws(OpsError) -> R {
    var list = try store.segments()
    while true {
      do throws(OpsError) { return try read(list) } catch {
        guard error.code == .notFound else { throw error }
        let next = try store.segments()
        guard next.segments != list.segments else { throw error }
        list = next
      }
    }
  }
}

extension Store {
  /// The first of these entries that the database and the store have differently, or one of them has not.
  func firstDifference(
    _ entries: ClosedRange<Int64>, _ list: SegmentList, _ session: Session
  ) throws(OpsError) -> Int64? {
    for segment in list.segments where segment.name.entries.overlaps(entries) {
      var first: Int64?
      try compare(segment, segment.name.entries.clamped(to: entries), session) { (difference) in
        first = first ?? difference.entry
      }
      if let first { return first }
    }
    return nil
  }
}
