public import Ledger

/// A store that exists: its files, and the ledger whose history they hold.
public struct Store: Sendable {
  public let files: any ObjectStore
  public let record: StoreRecord

  /// - Returns: Nil if nothing is stored there.
  /// - Throws: `OPS_015` if there are files without a `ledger.json`, or it is damaged.
  public static func open(_ files: any ObjectStore) throws(OpsError) -> Store? {
    let bytes: [UInt8]
    do throws(OpsError) {
      bytes = try files.read(StoreRecord.name, 0..<UInt64(StoreRecord.bytesMax + 1))
    } catch {
      guard error.code == .notFound else { throw error }
      let found: [StoredFile]
      do throws(OpsError) { found = try files.list("") } catch {
        guard error.code == .notFound else { throw error }
        // The directory does not exist yet.
        return nil
      }
      if found.isEmpty { return nil }
      let oddity = found.first { $0.name == StoreRecord.name }?.oddity
      throw OpsError(
        store: .damaged,
        oddity.map { "\(StoreRecord.name) of \(files.place) is \($0), not a file" }
          ?? "\(files.place) has files, but no \(StoreRecord.name)",
        hint:
          "if this is a store, put \(StoreRecord.name) back from another copy; if not, name another place"
      )
    }
    return Store(files: files, record: try StoreRecord(bytes, place: files.place))
  }

  /// - Throws: `OPS_011` if there is no store.
  public static func existing(_ files: any ObjectStore) throws(OpsError) -> Store {
    if let store = try open(files) { return store }
    throw OpsError(
      .notFound, "there is no store at \(files.place)",
      hint: "begin one with `opsledger archive push`")
  }

  /// - Throws: `OPS_015` if the store belongs to another ledger.
  func require(
    _ identity: StreamID, hint: String = "name this ledger's store"
  ) throws(OpsError) {
    guard record.identity != identity else { return }
    throw OpsError(
      store: .anotherLedger,
      "\(files.place) is the store of another ledger: \(record.title) (\(record.identity)), not \(identity)",
      hint: hint)
  }

  /// Begins a store in an empty place. If two processes begin one, both get the first.
  static func begin(
    _ files: any ObjectStore, _ record: StoreRecord
  ) throws(OpsError) -> Store {
    if try files.put(StoreRecord.name, record.bytes) { return Store(files: files, record: record) }
    return try existing(files)
  }

  /// - Throws: `OPS_015` if entries are in no segment, or two segments overlap.
  public func segments() throws(OpsError) -> SegmentList {
    let list = try foundSegments()
    if let hole = list.holes.first { throw hole.error }
    return list
  }

  /// The existing segments, and the holes between them.
  func foundSegments() throws(OpsError) -> SegmentList {
    let found = try files.list(SegmentName.folder)
    // Otherwise a file in place of the directory would look like an empty store.
    let folder = String(SegmentName.folder.dropLast())
    if found.isEmpty, try files.file(folder) != nil {
      throw OpsError(
        .notFound, "\(folder) of \(files.place) is a file, not the directory of the segments",
        hint: "put the directory back from another copy of the store")
    }
    return SegmentList(found, place: files.place)
  }

  /// The index of a segment, if its tree is that of the log up to this entry: the segment ends there, or has no events.
  func index(
    of segment: SegmentList.Segment, asOf entry: Int64
  ) throws(OpsError) -> SegmentIndex? {
    let index = try reader(of: segment).index
    guard segment.name.entries.contains(entry) else { return nil }
    return segment.name.entries.upperBound == entry || index.eventCount == 0 ? index : nil
  }

  /// Opens a segment.
  ///
  /// - Throws: `OPS_015` if it is damaged, or belongs to another ledger.
  public func reader(of segment: SegmentList.Segment) throws(OpsError) -> SegmentReader {
    let reader = try SegmentReader(files, segment.file)
    guard reader.index.identity == record.identity else {
      throw OpsError(
        store: .anotherLedger,
        "\(segment.name) of \(files.place) is a segment of another ledger "
          + "(\(reader.index.identity))",
        hint: "put the right file back from another copy of the store",
        losing: segment.name.entries)
    }
    return reader
  }
}

extension ObjectStore {
  /// The file of this name; nil if there is none.
  func file(_ name: String) throws(OpsError) -> StoredFile? {
    try list(name).first { $0.name == name }
  }

  /// A file that was written just now.
  func written(_ name: String) throws(OpsError) -> StoredFile {
    if let file = try file(name) { return file }
    throw OpsError(
      store: .damaged, "\(name) is not in \(place), although it was written just now",
      hint: "check whether somebody else removes files there, then push again")
  }

  /// Writes a small file.
  ///
  /// - Returns: False if the store has a file of that name already, which stays.
  func put(_ name: String, _ bytes: [UInt8]) throws(OpsError) -> Bool {
    let file = try make(name)
    try file.write(bytes)
    return try file.publish()
  }
}

extension FileInTheMaking {
  func write(_ bytes: [UInt8]) throws(OpsError) {
    try bytes.withBytes { (bytes) throws(OpsError) in try write(bytes) }
  }
}
