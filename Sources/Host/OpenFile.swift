import Glibc

/// An open file, which closes with this object. After a write, call `close()`, since it may throw.
public final class OpenFile {
  private var descriptor: Int32
  /// The name for messages.
  public let name: String

  init(_ descriptor: Int32, named name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  deinit {
    if descriptor >= 0 { Glibc.close(descriptor) }
  }

  public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    let reason = writeAll(bytes, to: descriptor)
    guard reason == 0 else { throw SystemError(reason, "write \(name)") }
  }

  /// Makes all writes durable. An error is final: Linux marks the pages that it could not write as clean, so a second
  /// call would succeed.
  public func sync() throws(SystemError) {
    guard fsync(descriptor) == 0 else { throw SystemError(errno, "sync \(name) to the disk") }
  }

  /// Closes the file. Some file systems report only now that they could not write.
  public func close() throws(SystemError) {
    let closing = descriptor
    descriptor = -1
    // Linux has closed the file in any case, and an interruption is not a failure.
    guard Glibc.close(closing) == 0 || errno == EINTR else {
      throw SystemError(errno, "close \(name)")
    }
  }

  /// Reads from an offset into a part of an array.
  ///
  /// - Returns: The number of bytes. It is less than the part's only at the end of the file.
  public func read(
    into bytes: inout [UInt8], _ part: Range<Int>, at offset: UInt64
  ) throws(SystemError) -> Int {
    var done = 0
    while done < part.count, let position = off_t(exactly: offset + UInt64(done)) {
      let count = bytes.withUnsafeMutableBytes { buffer in
        pread(
          descriptor, buffer.baseAddress.map { $0 + part.lowerBound + done }, part.count - done,
          position)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw SystemError(errno, "read \(name)") }
      if count == 0 { break }
      done += count
    }
    return done
  }

  /// Asks the system to drop its cache of the file, so that the next read comes from the disk. The system drops only
  /// durable pages.
  public func dropCache() { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }

  /// Takes a shared lock (flock) until the file is closed or the process ends. It does not wait.
  ///
  /// - Returns: False if another process has an exclusive lock.
  public func lockShared() throws(SystemError) -> Bool { try lock(LOCK_SH) }

  /// Takes an exclusive lock. It does not wait.
  public func lockAlone() throws(SystemError) -> Bool { try lock(LOCK_EX) }

  private func lock(_ kind: Int32) throws(SystemError) -> Bool {
    while flock(descriptor, kind | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      guard errno == EWOULDBLOCK else { throw SystemError(errno, "lock \(name)") }
      return false
    }
    return true
  }

  /// Sets the permission bits, whatever the umask is. Errors are ignored: some file systems have no permission bits.
  public func setMode(_ mode: UInt32) { fchmod(descriptor, mode) }

  public func status() throws(SystemError) -> FileSystem.Status {
    var raw = stat()
    guard fstat(descriptor, &raw) == 0 else {
      throw SystemError(errno, "read the status of \(name)")
    }
    return FileSystem.Status(raw)
  }
}

/// - Returns: 0, or the error number.
func writeAll(_ bytes: UnsafeRawBufferPointer, to file: Int32) -> Int32 {
  var rest = bytes[...]
  while !rest.isEmpty {
    let count = write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else { return count < 0 ? errno : ENOSPC }
    rest = rest.dropFirst(count)
  }
  return 0
}
