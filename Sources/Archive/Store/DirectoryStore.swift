internal import Glibc
internal import Host
public import Ledger
internal import Synchronization

/// A store in a directory.
///
/// Files are made under hidden names beside where they will lie, and get their names by link(2), which
/// never replaces one. Whoever makes a file shares a lock on it, so that what a dead process left is
/// known by its lock being free, whatever its process id is now, and is swept by the next that
/// writes there.
public final class DirectoryStore: ObjectStore {
  public let place: String

  /// Directories, by their path in the store, that this process has made sure of.
  private struct Prepared {
    /// Which directory the store was when it was read last.
    var root: Root?
    var durable: Set<String> = []
    var swept: Set<String> = []
  }
  private let prepared = Mutex(Prepared())

  /// What a path was before something was mounted there, or put in its place, is another one.
  private struct Root: Equatable {
    let device: UInt64
    let inode: UInt64

    init(_ directory: OpenDirectory) throws(SystemError) {
      let status = try directory.status()
      (device, inode) = (status.device, status.inode)
    }
  }

  static let temporaryPrefix = ".tmp."
  private static let wholeBytesMax = 1 << 30
  private static let directoryMode: UInt32 = 0o750

  /// Nothing is looked at yet; the directory is made when the first file is.
  public init(_ path: String) {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    place = path.isEmpty ? "." : path
  }

  // MARK: - Reading

  public func list(_ prefix: String) throws(OpsError) -> [StoredFile] {
    let folders = try StoreName.folders(ofPrefix: prefix)
    return try inStore(place) { () throws(SystemError) in
      let root = try openToRead()
      var found: [StoredFile] = []
      guard let folder = try ifThere({ () throws(SystemError) in try root.descend(folders) }) else {
        return []
      }
      try Self.list(folder, folders.map { $0 + "/" }.joined(), prefix, into: &found)
      return found.sorted { $0.name < $1.name }
    }
  }

  /// - Parameter path: Of the directory within the store, with a slash at its end.
  private static func list(
    _ folder: OpenDirectory, _ path: String, _ prefix: String, into found: inout [StoredFile]
  ) throws(SystemError) {
    for leaf in try folder.names() where !leaf.hasPrefix(".") {
      let name = path + leaf
      guard name.hasPrefix(prefix) || prefix.hasPrefix(name + "/"),
        let status = try folder.status(leaf)
      else { continue }
      switch status.kind {
      case .file:
        found.append(StoredFile(name: name, size: UInt64(clamping: status.bytes)))
      case .directory:
        // One of another's making (lost+found) is none of ours, and may not be ours to read.
        guard StoreName.isPart(leaf) else { continue }
        guard !StoreName.isOfFile(leaf) else {
          found.append(StoredFile(name: name, size: 0, oddity: "a directory"))
          continue
        }
        let below = try ifThere { () throws(SystemError) in try folder.directory(leaf) }
        if let below { try list(below, name + "/", prefix, into: &found) }
      case .link:
        found.append(
          StoredFile(name: name, size: 0, oddity: "a link, which a store does not follow"))
      case .socket, .other:
        found.append(StoredFile(name: name, size: 0, oddity: "a pipe, socket or device"))
      }
    }
  }

  public func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8] {
    let name = try StoreName(name)
    let file = try inStore(place, name.text) { () throws(SystemError) -> OpenFile in
      let file = try openToRead().descend(name.folders).file(name.leaf)
      guard try file.status().kind == .file else { throw SystemError(EISDIR, "read \(file.name)") }
      return file
    }
    return try inStore(place, name.text, reading: true) { () throws(SystemError) -> [UInt8] in
      try Self.read(file, range)
    }
  }

  /// Opens the store's directory, and remembers which it is.
  private func openToRead() throws(SystemError) -> OpenDirectory {
    do throws(SystemError) {
      let folder = try OpenDirectory(place)
      let root = try Root(folder)
      prepared.withLock { if $0.root != root { $0 = Prepared(root: root) } }
      return folder
    } catch {
      prepared.withLock { $0 = Prepared() }
      throw error
    }
  }

  private static func read(
    _ file: OpenFile, _ range: Range<UInt64>?
  ) throws(SystemError) -> [UInt8] {
    let size = UInt64(clamping: try file.status().bytes)
    let range = (range ?? 0..<size).clamped(to: 0..<size)
    // A file that says it has more was never written by a store.
    guard range.count <= wholeBytesMax else {
      throw SystemError(EFBIG, "read \(file.name) at once")
    }
    var bytes = [UInt8](repeating: 0, count: Int(range.count))
    let count = try file.read(into: &bytes, 0..<bytes.count, at: range.lowerBound)
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  // MARK: - Writing

  public func make(_ name: String) throws(OpsError) -> any FileInTheMaking {
    let name = try StoreName(name)
    return try inStore(place, name.text) { () throws(SystemError) in
      try DirectoryFile(name, in: place, try prepare(name.folders))
    }
  }

  public func remove(_ name: String) throws(OpsError) {
    let name = try StoreName(name)
    try inStore(place, name.text) { () throws(SystemError) in
      let folder = try ifThere { () throws(SystemError) in
        try OpenDirectory(place).descend(name.folders)
      }
      if let folder, try folder.remove(name.leaf) { try folder.sync() }
    }
  }

  /// Opens a directory of the store to write in, and makes what is missing on the way to it.
  private func prepare(_ folders: [String]) throws(SystemError) -> OpenDirectory {
    var folder = try openToWrite()
    // Here and below: who made one that is there may have died before that was durable.
    if !prepared.withLock({ $0.durable.contains("") }) {
      try Self.syncParent(of: place)
      _ = prepared.withLock { $0.durable.insert("") }
    }
    var path = ""
    for part in folders {
      path += part + "/"
      let isMade = try folder.makeDirectory(part, mode: Self.directoryMode)
      if isMade || !prepared.withLock({ $0.durable.contains(path) }) {
        try folder.sync()
        _ = prepared.withLock { $0.durable.insert(path) }
      }
      folder = try folder.directory(part)
    }
    if prepared.withLock({ $0.swept.insert(path).inserted }) { try Self.sweep(folder) }
    return folder
  }

  /// Opens the store's directory, or makes it; one that was looked into is not made anew, and nothing else is
  /// written to in its place.
  private func openToWrite() throws(SystemError) -> OpenDirectory {
    guard let known = prepared.withLock({ $0.root }) else {
      let folder = try Self.openOrMake(place)
      let root = try Root(folder)
      prepared.withLock { $0.root = root }
      return folder
    }
    let found = try ifThere { () throws(SystemError) in try OpenDirectory(place) }
    guard let found, try Root(found) == known else {
      throw SystemError(ESTALE, "write to \(place), which is not the directory that it was")
    }
    return found
  }

  private static func openOrMake(_ path: String) throws(SystemError) -> OpenDirectory {
    if let found = try ifThere({ () throws(SystemError) in try OpenDirectory(path) }) {
      return found
    }
    let parent = FileSystem.parent(of: path)
    let above = try parent == path ? OpenDirectory(path) : openOrMake(parent)
    let name = path.split(separator: "/").last.map(String.init) ?? path
    if try above.makeDirectory(name, mode: directoryMode) { try above.sync() }
    return try OpenDirectory(path)
  }

  private static func syncParent(of path: String) throws(SystemError) {
    // What may not be read was not made by us.
    let above: OpenDirectory
    do { above = try OpenDirectory(FileSystem.parent(of: path)) } catch { return }
    try above.sync()
  }

  /// Removes what dead processes left half-made.
  private static func sweep(_ folder: OpenDirectory) throws(SystemError) {
    for leaf in try folder.names() where leaf.hasPrefix(temporaryPrefix) {
      // Somebody's who may not be asked, or who has just removed it: not ours to sweep.
      if (try? folder.file(leaf, writing: true).lockAlone()) == true { try folder.remove(leaf) }
    }
  }
}

/// Nil where something on the way is not there.
private func ifThere<Answer>(
  _ body: () throws(SystemError) -> Answer
) throws(SystemError) -> Answer? {
  do throws(SystemError) { return try body() } catch {
    guard error.number == ENOENT || error.number == ENOTDIR else { throw error }
    return nil
  }
}

extension OpenDirectory {
  fileprivate func descend(_ folders: [String]) throws(SystemError) -> OpenDirectory {
    var folder = self
    for name in folders { folder = try folder.directory(name) }
    return folder
  }
}
