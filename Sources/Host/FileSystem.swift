import Glibc

/// Files and directories, by path.
public enum FileSystem {
  /// What `lstat` and `stat` say, as far as anyone here asks.
  public struct Status: Equatable, Sendable {
    public enum Kind: Equatable, Sendable { case file, directory, link, socket, other }
    public let kind: Kind
    /// User id of the owner.
    public let owner: UInt32
    /// Permission bits, without the kind.
    public let mode: UInt32
    public let bytes: Int
    /// Which file it is, among all of one file system.
    public let inode: UInt64
    /// Which file system.
    public let device: UInt64
    /// How many names it has; none once it was removed.
    public let names: Int
  }

  /// Status of what is at a path, or nil if nothing is, or if it may not be seen.
  ///
  /// - Parameter followingLink: whether a symbolic link stands for what it points to.
  public static func status(_ path: String, followingLink: Bool = true) -> Status? {
    var raw = stat()
    guard (followingLink ? stat(path, &raw) : lstat(path, &raw)) == 0 else { return nil }
    return Status(raw)
  }

  public static func exists(_ path: String) -> Bool { status(path) != nil }

  /// The whole content of a file.
  ///
  /// - Parameter bytesMax: more than this is refused, since a wrong path can name anything.
  public static func read(_ path: String, bytesMax: Int) throws(HostError) -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .system(errno, "read \(path)") }
    defer { close(file) }
    return try read(file, named: path, bytesMax: bytesMax)
  }

  /// Standard input to its end, under the same limit.
  public static func readStandardInput(bytesMax: Int) throws(HostError) -> [UInt8] {
    try read(0, named: "standard input", bytesMax: bytesMax)
  }

  private static func read(
    _ file: Int32, named path: String, bytesMax: Int
  ) throws(HostError) -> [UInt8] {
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .system(errno, "read \(path)") }
      guard count > 0 else { return content }
      content += chunk[..<count]
      guard content.count <= bytesMax else {
        throw HostError(.unusable, "\(path) is larger than \(bytesMax) bytes")
      }
    }
  }

  /// As `read`, for text; what is not UTF-8 is refused.
  public static func readText(_ path: String, bytesMax: Int = 1 << 20) throws(HostError) -> String {
    let content = try read(path, bytesMax: bytesMax)
    guard let text = String(validating: content, as: UTF8.self) else {
      throw HostError(.malformed, "\(path) is not UTF-8 text")
    }
    return text
  }

  /// Writes a file so that readers, and a machine that stops, see either all of it or nothing.
  ///
  /// - Parameter replacing: false refuses where the path is taken.
  public static func write(
    _ content: String, to path: String, mode: UInt32 = 0o644, replacing: Bool = true
  ) throws(HostError) {
    let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0...UInt32.max)).tmp"
    let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard file >= 0 else { throw .system(errno, "write \(path)") }
    defer { unlink(temporary) }
    do {
      defer { close(file) }
      try writeAll(Array(content.utf8), to: file, named: path)
      guard fsync(file) == 0 else { throw HostError.system(errno, "write \(path)") }
    }
    let placed = replacing ? rename(temporary, path) : link(temporary, path)
    guard placed == 0 else { throw .system(errno, "write \(path)") }
    try syncDirectory(parent(of: path))
  }

  /// Makes a directory; one that is already there is fine.
  ///
  /// - Parameter parents: whether missing ones above it are made too (0755).
  public static func makeDirectory(
    _ path: String, mode: UInt32 = 0o755, parents: Bool = false
  ) throws(HostError) {
    if mkdir(path, mode) == 0 {
      chmod(path, mode)  // Whatever the umask says.
      return
    }
    let reason = errno
    if parents, reason == ENOENT, parent(of: path) != path {
      try makeDirectory(parent(of: path), parents: true)
      return try makeDirectory(path, mode: mode)
    }
    guard reason == EEXIST, status(path)?.kind == .directory else {
      throw .system(reason, "make directory \(path)")
    }
  }

  /// The path without links, `.` and `..`, or nil where there is nothing.
  public static func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// The directory that a path is in.
  public static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Names in a directory, sorted; empty where it cannot be read.
  public static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func writeAll(
    _ content: [UInt8], to file: Int32, named path: String
  ) throws(HostError) {
    var done = 0
    while done < content.count {
      let count = content.withUnsafeBytes { bytes in
        Glibc.write(file, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw .system(errno, "write \(path)") }
      done += count
    }
  }

  private static func syncDirectory(_ path: String) throws(HostError) {
    let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw .system(errno, "open directory \(path)") }
    defer { close(directory) }
    guard fsync(directory) == 0 || errno == EINVAL else {
      throw .system(errno, "write directory \(path)")
    }
  }
}

extension FileSystem.Status {
  init(_ raw: stat) {
    kind =
      switch raw.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .directory
      case S_IFLNK: .link
      case S_IFSOCK: .socket
      default: .other
      }
    owner = raw.st_uid
    mode = raw.st_mode & 0o7777
    bytes = Int(raw.st_size)
    inode = UInt64(raw.st_ino)
    device = UInt64(raw.st_dev)
    names = Int(raw.st_nlink)
  }
}
