public import Ledger
public import Log
public import Replay

/// A store with which `verify` compares the database's log.
public struct StoreHistory: StoredHistory {
  private let store: Store

  /// - Throws: `OPS_011` if there is no store; `OPS_015` if it belongs to another ledger.
  public init(_ files: any ObjectStore, of session: Session) throws(OpsError) {
    store = try Store.existing(files)
    if let own = try session.ledgerIdentity() { try store.require(own) }
  }

  public var place: String { store.files.place }

  public func roots() throws(OpsError) -> [RecordedRoot] {
    try reading { (list) throws(OpsError) in
      try list.segments.map { (segment) throws(OpsError) in
        let index = try store.reader(of: segment).index
        return RecordedRoot(
          entry: segment.name.entries.upperBound, root: index.root, frontier: index.after)
      }
    }
  }

  public func firstDifference(
    _ entries: ClosedRange<Int64>, _ session: Session
  ) throws(OpsError) -> Int64? {
    try reading { (list) throws(OpsError) in try store.firstDifference(entries, list, session) }
  }

  private func reading<R>(_ read: (SegmentList) throws(OpsError) -> R) throws(OpsError) -> R {
    try readingWhole([store.files]) { () throws(OpsError) -> (R, isFine: Bool) in
      (try read(store.segments()), isFine: true)
    }
  }
}

extension Store {
  /// The first of these entries that differs, or that only one of database and store has.
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
