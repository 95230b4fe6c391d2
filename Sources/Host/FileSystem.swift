import Glibc

/// Files and directories, by path.
public enum FileSystem {
  /// The fields of `stat` that opsledger uses.
  public struct Status: Equatable, Sendable {
    public enum Kind: Equatable, Sendable { case file, directory, link, socket, other }
    public let kind: Kind
    /// The owner's user id.
    public let owner: UInt32
    /// The permission bits.
    public let mode: UInt32
    public let bytes: Int
    /// The file's number in its file system.
    public let inode: UInt64
    /// The file system.
    public let device: UInt64
    /// The number of names. A removed file has none.
    public let names: Int
  }

  /// The status of the file at a path, or nil if there is none or access is denied.
  public static func status(_ path: String, followingLink: Bool = true) -> Status? {
    var raw = stat()
    guard (followingLink ? stat(path, &raw) : lstat(path, &raw)) == 0 else { return nil }
    return Status(raw)
  }

  public static func exists(_ path: String) -> Bool { status(path) != nil }

  /// The whole content of a file.
  ///
  /// - Throws: Also if the file is larger than `bytesMax`, since a wrong path can name any file.
  public static func read(_ path: String, bytesMax: Int) throws(HostError) -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .system(errno, "read \(path)") }
    defer { close(file) }
    return try read(file, named: path, bytesMax: bytesMax)
  }

  /// Standard input up to its end, with the same limit.
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

  /// The whole content of a text file.
  ///
  /// - Throws: Also if the file is not UTF-8.
  public static func readText(_ path: String, bytesMax: Int = 1 << 20) throws(HostError) -> String {
    let content = try read(path, bytesMax: bytesMax)
    guard let text = String(validating: content, as: UTF8.self) else {
      throw HostError(.malformed, "\(path) is not UTF-8 text")
    }
    return text
  }

  /// Writes a file, or replaces it. Readers, and a crash of the machine, see the whole file or the one before it.
  public static func write(
    _ content: String, to path: String, mode: UInt32 = 0o644
  ) throws(HostError) {
    let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0...UInt32.max)).tmp"
    let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard file >= 0 else { throw .system(errno, "write \(path)") }
    defer { unlink(temporary) }
    do {
      defer { close(file) }
      try write(content, to: file, named: path)
      guard fsync(file) == 0 else { throw HostError.system(errno, "write \(path)") }
    }
    guard rename(temporary, path) == 0 else { throw .system(errno, "write \(path)") }
    do throws(SystemError) {
      try OpenDirectory(parent(of: path)).sync()
    } catch {
      throw HostError(error)
    }
  }

  /// Writes into an existing file, which keeps its owner.
  static func writeInPlace(
    _ content: String, to path: String, appending: Bool = false
  ) throws(HostError) {
    let file = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (appending ? O_APPEND : O_TRUNC))
    guard file >= 0 else { throw .system(errno, "write \(path)") }
    defer { close(file) }
    try write(content, to: file, named: path)
  }

  private static func write(
    _ content: String, to file: Int32, named path: String
  ) throws(HostError) {
    let reason = Array(content.utf8).withUnsafeBytes { writeAll($0, to: file) }
    guard reason == 0 else { throw .system(reason, "write \(path)") }
  }

  /// Makes a directory, if there is none.
  ///
  /// - Parameter parents: Whether missing directories above it are made too (0755).
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

  /// The path without links, `.` and `..`, or nil if there is no file.
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

  /// The names in a directory, sorted; none if it cannot be read.
  public static func names(in directory: String) -> [String] {
    (try? OpenDirectory(directory).names().sorted()) ?? []
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
