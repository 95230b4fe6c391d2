import Glibc

/// A directory that is open, and what is done to the names in it. It stays this directory whatever
/// happens to its path. Names are single ones: no path, and no link is ever followed.
public final class OpenDirectory {
  private let descriptor: Int32
  /// As in messages.
  public let path: String

  private init(_ descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  private static let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC

  /// Opens a directory by its path, through links as people expect it.
  public convenience init(_ path: String) throws(SystemError) {
    let descriptor = open(path, Self.flags)
    guard descriptor >= 0 else { throw SystemError(errno, "open directory \(path)") }
    self.init(descriptor, path: path)
  }

  private func said(_ name: String) -> String {
    path.hasSuffix("/") ? path + name : "\(path)/\(name)"
  }

  /// - Throws: ELOOP where it is a link.
  public func directory(_ name: String) throws(SystemError) -> OpenDirectory {
    let found = openat(descriptor, name, Self.flags | O_NOFOLLOW)
    if found < 0, errno == ENOTDIR, try status(name)?.kind == .link {
      throw SystemError(ELOOP, "open directory \(said(name))")
    }
    guard found >= 0 else { throw SystemError(errno, "open directory \(said(name))") }
    return OpenDirectory(found, path: said(name))
  }

  /// - Returns: False where something of that name is there.
  public func makeDirectory(_ name: String, mode: UInt32) throws(SystemError) -> Bool {
    guard mkdirat(descriptor, name, mode) == 0 else {
      if errno == EEXIST { return false }
      throw SystemError(errno, "make directory \(said(name))")
    }
    fchmodat(descriptor, name, mode, 0)  // Whatever the umask says.
    return true
  }

  /// Makes a file to write to, or throws EEXIST.
  public func makeFile(_ name: String, mode: UInt32) throws(SystemError) -> OpenFile {
    // Readable too: network file systems lock only for what a file is open for.
    let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    let made = openat(descriptor, name, flags, mode)
    guard made >= 0 else { throw SystemError(errno, "make \(said(name))") }
    let file = OpenFile(made, named: said(name))
    file.setMode(mode)
    return file
  }

  /// Opens a file to read from it, or for more.
  ///
  /// - Throws: ELOOP where it is a link.
  public func file(_ name: String, writing: Bool = false) throws(SystemError) -> OpenFile {
    // Without O_NONBLOCK, opening a pipe waits for its writer.
    let found = openat(
      descriptor, name, (writing ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard found >= 0 else { throw SystemError(errno, "read \(said(name))") }
    return OpenFile(found, named: said(name))
  }

  /// Of the directory itself.
  public func status() throws(SystemError) -> FileSystem.Status {
    var raw = stat()
    guard fstat(descriptor, &raw) == 0 else { throw SystemError(errno, "look at \(path)") }
    return FileSystem.Status(raw)
  }

  /// Nil where nothing has that name.
  public func status(_ name: String) throws(SystemError) -> FileSystem.Status? {
    var raw = stat()
    if fstatat(descriptor, name, &raw, AT_SYMLINK_NOFOLLOW) == 0 { return FileSystem.Status(raw) }
    guard errno == ENOENT else { throw SystemError(errno, "look at \(said(name))") }
    return nil
  }

  /// Gives a file a second name.
  ///
  /// - Returns: False where something of that name is there; it stays as it is.
  public func link(_ name: String, as other: String) throws(SystemError) -> Bool {
    if linkat(descriptor, name, descriptor, other, 0) == 0 { return true }
    guard errno == EEXIST else { throw SystemError(errno, "name \(said(other))") }
    return false
  }

  /// Removes a name of a file.
  ///
  /// - Returns: False where there was none.
  @discardableResult
  public func remove(_ name: String) throws(SystemError) -> Bool {
    if unlinkat(descriptor, name, 0) == 0 { return true }
    guard errno == ENOENT else { throw SystemError(errno, "remove \(said(name))") }
    return false
  }

  /// Makes its names durable. As with a file, an error is final.
  public func sync() throws(SystemError) {
    // File systems that have nothing to sync in a directory answer EINVAL.
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw SystemError(errno, "write directory \(path) to the disk")
    }
  }

  /// All names but `.` and `..`, in no order.
  public func names() throws(SystemError) -> [String] {
    // Reading moves a directory's position, which a copy of the descriptor would share.
    let copy = openat(descriptor, ".", Self.flags)
    guard copy >= 0, let stream = fdopendir(copy) else {
      let reason = errno
      if copy >= 0 { close(copy) }
      throw SystemError(reason, "read directory \(path)")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw SystemError(errno, "read directory \(path)") }
    return names
  }
}
