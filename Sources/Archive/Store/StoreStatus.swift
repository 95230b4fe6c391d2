import Crypto
public import Ledger
public import Log

/// How one store stands to a database, as far as its last segment proves it.
public enum StoreStatus: Equatable, Sendable {
  /// It has everything up to its tip; nil: nothing was recorded after that, otherwise when the first event was.
  case upTo(lastEntry: Int64, unstoredSince: Instant?)
  /// It ends with an entry that this database has not recorded, or has another root there.
  case differs(lastEntry: Int64)
  /// Nothing is there yet.
  case absent
  /// It is another ledger's.
  case foreign(title: String, identity: StreamID)
  /// Nobody can say, since it cannot be read.
  case unknown(reason: String)

  /// Reads the list of files, `ledger.json` and the index of the last segment.
  ///
  /// - Throws: Where the database cannot be asked. What the store cannot do is an answer.
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
      // A name proves nothing: the tip is where the last segment's own index ends.
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
