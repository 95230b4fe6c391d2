public import Ledger

/// A store that is there: its files, and whose history they hold.
public struct Store: Sendable {
  public let files: any ObjectStore
  public let record: StoreRecord

  /// - Returns: Nil where nothing is stored.
  /// - Throws: `OPS_015` where something is, but no `ledger.json`, or one that is damaged.
  public static func open(_ files: any ObjectStore) throws(OpsError) -> Store? {
    let bytes: [UInt8]
    do throws(OpsError) {
      bytes = try files.read(StoreRecord.name, 0..<UInt64(StoreRecord.bytesMax + 1))
    } catch {
      guard error.code == .notFound else { throw error }
      guard try isEmpty(files) else {
        throw OpsError(
          store: .damaged, "\(files.place) has files, but no \(StoreRecord.name)",
          hint: "it is no store, or its \(StoreRecord.name) is lost: put it back from another copy")
      }
      return nil
    }
    return Store(files: files, record: try StoreRecord(bytes, place: files.place))
  }

  private static func isEmpty(_ files: any ObjectStore) throws(OpsError) -> Bool {
    do throws(OpsError) { return try files.list("").isEmpty } catch {
      // A directory that nobody has made yet.
      guard error.code == .notFound else { throw error }
      return true
    }
  }

  /// One that must be there.
  public static func existing(_ files: any ObjectStore) throws(OpsError) -> Store {
    if let store = try open(files) { return store }
    throw OpsError(
      .notFound, "there is no store at \(files.place)",
      hint: "begin one with `opsledger archive push`")
  }

  /// Begins a store in an empty place; of two at once, both get the one that was first.
  static func begin(
    _ files: any ObjectStore, _ record: StoreRecord
  ) throws(OpsError) -> Store {
    if try files.put(StoreRecord.name, record.bytes) { return Store(files: files, record: record) }
    return try existing(files)
  }

  /// - Throws: `OPS_015` where one is missing.
  public func segments() throws(OpsError) -> SegmentList {
    let list = try foundSegments()
    try list.requireWhole()
    return list
  }

  /// Those that are there, whatever is missing.
  func foundSegments() throws(OpsError) -> SegmentList {
    let found = try files.list(SegmentName.folder)
    // What a file in the folder's place hides would look like nothing.
    let folder = String(SegmentName.folder.dropLast())
    if found.isEmpty, try files.list(folder).contains(where: { $0.name == folder }) {
      throw OpsError(
        .notFound, "\(folder) of \(files.place) is a file, and the store's segments lie nowhere",
        hint: "put the directory back from another copy of the store")
    }
    return SegmentList(found, place: files.place)
  }

  /// The index of a segment whose tree is that of the log up to this entry: it ends there, or has no event at all.
  ///
  /// - Returns: Nil where it has events and ends elsewhere.
  func index(
    of segment: SegmentList.Segment, asOf entry: Int64
  ) throws(OpsError) -> SegmentIndex? {
    let index = try reader(of: segment).index
    guard segment.name.entries.contains(entry) else { return nil }
    return segment.name.entries.upperBound == entry || index.eventCount == 0 ? index : nil
  }

  /// Opens a segment.
  ///
  /// - Throws: `OPS_015` where it is damaged, or another ledger's.
  public func reader(of segment: SegmentList.Segment) throws(OpsError) -> SegmentReader {
    let reader = try SegmentReader(files, segment.file)
    guard reader.index.identity == record.identity else {
      throw OpsError(
        store: .anotherLedger,
        "\(segment.name) of \(files.place) is a segment of another ledger "
          + "(\(reader.index.identity))", hint: "put the right file back from another copy",
        losing: segment.name.entries)
    }
    return reader
  }
}

extension ObjectStore {
  /// Publishes a small file at once.
  ///
  /// - Returns: False where one of that name is there.
  func put(_ name: String, _ bytes: [UInt8]) throws(OpsError) -> Bool {
    let file = try make(name)
    try file.write(bytes)
    return try file.publish()
  }
}

extension FileInTheMaking {
  func write(_ bytes: [UInt8]) throws(OpsError) {
    let written = bytes.withUnsafeBytes { bytes in
      Result { () throws(OpsError) in try write(bytes) }
    }
    try written.get()
  }
}
