import Crypto
public import Ledger
public import Log

/// The status of a store, as far as its last segment proves it.
public enum StoreStatus: Equatable, Sendable {
  /// The store has all entries up to its last one. The time is that of the first later event; nil: there is none.
  case upTo(lastEntry: Int64, unstoredSince: Instant?)
  /// The database lacks the store's last entry, or has another root there.
  case differs(lastEntry: Int64)
  case absent
  case foreign(title: String, identity: StreamID)
  case unknown(reason: String)

  /// Reads the list of files, `ledger.json` and the index of the last segment.
  ///
  /// - Throws: An error of the database only.
  public init(
    of files: any ObjectStore, _ session: Session, identity: StreamID, sealed: Int64
  ) throws(OpsError) {
    let found: (lastEntry: Int64, root: Digest?)
    do throws(OpsError) {
      guard let store = try Store.open(files) else {
        self = .absent
        return
      }
      guard store.record.identity == identity else {
        self = .foreign(title: store.record.title, identity: store.record.identity)
        return
      }
      let list = try store.segments()
      // A file's name proves nothing: the index must be readable.
      let root = try list.segments.last.map { (last) throws(OpsError) in
        try store.reader(of: last).index.root
      }
      found = (list.lastEntry, root)
    } catch {
      self = .unknown(reason: "\(error)")
      return
    }
    let known = found.lastEntry == 0 ? nil : try session.storedRoot(at: found.lastEntry)
    if found.lastEntry > sealed || known.map({ $0.root != found.root }) == true {
      self = .differs(lastEntry: found.lastEntry)
    } else {
      self = .upTo(
        lastEntry: found.lastEntry, unstoredSince: try session.firstRecorded(after: found.lastEntry)
      )
    }
  }
}
