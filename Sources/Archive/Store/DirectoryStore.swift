internal import Glibc
internal import Host
public import Ledger
internal import Synchronization

/// A store in a directory.
///
/// A file is written under a hidden name in its directory, and gets its name by link(2), which never replaces a file. The
/// writer holds a shared lock on it. If the lock is free, its process has died, and the next writer removes the file.
public final class DirectoryStore: ObjectStore {
  public let place: String

  /// The directories of the store that this process has made durable and cleaned, by their paths.
  private struct Prepared {
    /// The directory at the store's path when it was read last.
    var root: Root?
    var durable: Set<String> = []
    var swept: Set<String> = []
  }
  private let prepared = Mutex(Prepared())

  /// Differs after something was mounted on the path, or replaced the directory.
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

  /// Reads nothing yet. The first file makes the directory.
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

  /// - Parameter path: The directory's path in the store, with a slash at its end.
  private static func list(
    _ folder: OpenDirectory, _ path: String, _ prefix: String, into found: inout [StoredFile]
  ) throws(SystemError) {
    for leaf in try folder.names() where !leaf.hasPrefix(".") {
      let name = path + leaf
      guard name.hasPrefix(prefix) || prefix.hasPrefix(name + "/"),
        let status = try folder.status(leaf)
      else { continue }
      if status.kind == .directory {
        // Another's directory (lost+found) may be unreadable.
        guard StoreName.isPart(leaf) else { continue }
        if !StoreName.isOfFile(leaf) {
          let below = try ifThere { () throws(SystemError) in try folder.directory(leaf) }
          if let below { try list(below, name + "/", prefix, into: &found) }
          continue
        }
      }
      let size = status.kind == .file ? UInt64(clamping: status.bytes) : 0
      found.append(StoredFile(name: name, size: size, oddity: status.kind.oddity))
    }
  }

  public func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8] {
    let name = try StoreName(name)
    let (file, kind) = try inStore(place, name.text) { () throws(SystemError) in
      let file = try openToRead().descend(name.folders).file(name.leaf)
      return (file, try file.status().kind)
    }
    if let oddity = kind.oddity {
      throw OpsError(
        .notFound, "store \(place): cannot read \(file.name): it is \(oddity), not a file",
        hint: "put the file back from another copy of the store",
        cause: .store(StoreFault(.unavailable, at: place, file: name.text)))
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
    // No file of a store is that long.
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

  /// Opens a directory of the store for writing, and makes the missing directories above it.
  private func prepare(_ folders: [String]) throws(SystemError) -> OpenDirectory {
    var folder = try openToWrite()
    // Here and below: the process that made a directory may have died before it was durable.
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

  /// Opens the store's directory, or makes it. If this process has read the directory before, it must be the same one.
  private func openToWrite() throws(SystemError) -> OpenDirectory {
    guard let known = prepared.withLock({ $0.root }) else {
      let folder = try Self.openOrMake(place)
      let root = try Root(folder)
      prepared.withLock { $0.root = root }
      return folder
    }
    let found = try ifThere { () throws(SystemError) in try OpenDirectory(place) }
    guard let found, try Root(found) == known else {
      throw SystemError(ESTALE, "write to \(place), where another directory is now")
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
    // opsledger did not make a directory that it cannot read.
    let above: OpenDirectory
    do { above = try OpenDirectory(FileSystem.parent(of: path)) } catch { return }
    try above.sync()
  }

  /// Removes the temporary files of dead processes.
  private static func sweep(_ folder: OpenDirectory) throws(SystemError) {
    for leaf in try folder.names() where leaf.hasPrefix(temporaryPrefix) {
      // If the lock cannot be tested, the file belongs to somebody else, or is gone.
      if (try? folder.file(leaf, writing: true).lockAlone()) == true { try folder.remove(leaf) }
    }
  }
}

/// Nil if the file, or a directory above it, does not exist.
private func ifThere<Answer>(
  _ body: () throws(SystemError) -> Answer
) throws(SystemError) -> Answer? {
  do throws(SystemError) { return try body() } catch {
    guard error.number == ENOENT || error.number == ENOTDIR else { throw error }
    return nil
  }
}

extension FileSystem.Status.Kind {
  /// What it is instead of a file; nil for a file.
  fileprivate var oddity: String? {
    switch self {
    case .file: nil
    case .directory: "a directory"
    case .link: "a link"
    case .socket, .other: "a pipe, socket or device"
    }
  }
}

extension OpenDirectory {
  fileprivate func descend(_ folders: [String]) throws(SystemError) -> OpenDirectory {
    var folder = self
    for name in folders { folder = try folder.directory(name) }
    return folder
  }
}
