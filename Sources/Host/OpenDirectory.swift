import Glibc

/// An open directory. It stays the same directory if its path changes. A name is never a path, and no link is followed.
public final class OpenDirectory {
  private let descriptor: Int32
  /// The path for messages.
  public let path: String

  private init(_ descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  private static let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC

  /// Opens a directory by its path. Links in the path are followed.
  public convenience init(_ path: String) throws(SystemError) {
    let descriptor = open(path, Self.flags)
    guard descriptor >= 0 else { throw SystemError(errno, "open directory \(path)") }
    self.init(descriptor, path: path)
  }

  private func shown(_ name: String) -> String {
    path.hasSuffix("/") ? path + name : "\(path)/\(name)"
  }

  /// - Throws: ELOOP if the name is a link.
  public func directory(_ name: String) throws(SystemError) -> OpenDirectory {
    let found = openat(descriptor, name, Self.flags | O_NOFOLLOW)
    if found < 0, errno == ENOTDIR, try status(name)?.kind == .link {
      throw SystemError(ELOOP, "open directory \(shown(name))")
    }
    guard found >= 0 else { throw SystemError(errno, "open directory \(shown(name))") }
    return OpenDirectory(found, path: shown(name))
  }

  /// - Returns: False if the name is taken.
  public func makeDirectory(_ name: String, mode: UInt32) throws(SystemError) -> Bool {
    guard mkdirat(descriptor, name, mode) == 0 else {
      if errno == EEXIST { return false }
      throw SystemError(errno, "make directory \(shown(name))")
    }
    fchmodat(descriptor, name, mode, 0)  // Whatever the umask is.
    return true
  }

  /// Makes a file and opens it for writing.
  ///
  /// - Throws: EEXIST if the name is taken.
  public func makeFile(_ name: String, mode: UInt32) throws(SystemError) -> OpenFile {
    // Readable too: a network file system gives a shared lock only if the file is open for reading.
    let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    let made = openat(descriptor, name, flags, mode)
    guard made >= 0 else { throw SystemError(errno, "make \(shown(name))") }
    let file = OpenFile(made, named: shown(name))
    file.setMode(mode)
    return file
  }

  /// Opens a file.
  ///
  /// - Throws: ELOOP if the name is a link.
  public func file(_ name: String, writing: Bool = false) throws(SystemError) -> OpenFile {
    // Without O_NONBLOCK, the open of a pipe waits for its writer.
    let found = openat(
      descriptor, name, (writing ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard found >= 0 else { throw SystemError(errno, "read \(shown(name))") }
    return OpenFile(found, named: shown(name))
  }

  /// The status of the directory itself.
  public func status() throws(SystemError) -> FileSystem.Status {
    var raw = stat()
    guard fstat(descriptor, &raw) == 0 else {
      throw SystemError(errno, "read the status of \(path)")
    }
    return FileSystem.Status(raw)
  }

  /// Nil if there is no such name.
  public func status(_ name: String) throws(SystemError) -> FileSystem.Status? {
    var raw = stat()
    if fstatat(descriptor, name, &raw, AT_SYMLINK_NOFOLLOW) == 0 { return FileSystem.Status(raw) }
    guard errno == ENOENT else { throw SystemError(errno, "read the status of \(shown(name))") }
    return nil
  }

  /// Gives a file a second name.
  ///
  /// - Returns: False if `other` is taken; it is not changed.
  public func link(_ name: String, as other: String) throws(SystemError) -> Bool {
    if linkat(descriptor, name, descriptor, other, 0) == 0 { return true }
    guard errno == EEXIST else {
      throw SystemError(errno, "link \(shown(name)) as \(shown(other))")
    }
    return false
  }

  /// Removes a name of a file.
  ///
  /// - Returns: False if there is no such name.
  @discardableResult
  public func remove(_ name: String) throws(SystemError) -> Bool {
    if unlinkat(descriptor, name, 0) == 0 { return true }
    guard errno == ENOENT else { throw SystemError(errno, "remove \(shown(name))") }
    return false
  }

  /// Makes the directory's names durable. An error is final, as with a file.
  public func sync() throws(SystemError) {
    // A file system that needs no sync of directories answers EINVAL.
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw SystemError(errno, "sync directory \(path) to the disk")
    }
  }

  /// All names except `.` and `..`, in no order.
  public func names() throws(SystemError) -> [String] {
    // A new descriptor, since a copy would share its position with this one.
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
