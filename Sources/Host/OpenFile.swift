import Glibc

/// A file that is open. Closed when let go of; whoever wrote to it closes it and looks at the answer.
public final class OpenFile {
  private var descriptor: Int32
  /// As in messages.
  public let name: String

  init(_ descriptor: Int32, named name: String) {
    self.descriptor = descriptor
    self.name = name
  }

  deinit {
    if descriptor >= 0 { Glibc.close(descriptor) }
  }

  /// Writes all of it, in as many calls as it takes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = Glibc.write(
        descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw SystemError(count < 0 ? errno : ENOSPC, "write \(name)") }
      rest = rest.dropFirst(count)
    }
  }

  /// Makes what was written durable. An error is final: Linux drops the pages it could not write and
  /// calls them clean, so that a second try would answer that all is well.
  public func sync() throws(SystemError) {
    guard fsync(descriptor) == 0 else { throw SystemError(errno, "write \(name) to the disk") }
  }

  /// Closes it; some file systems say only now that they could not write.
  public func close() throws(SystemError) {
    let closing = descriptor
    descriptor = -1
    // Linux has closed it whatever it answers; only an interruption is no failure.
    guard Glibc.close(closing) == 0 || errno == EINTR else {
      throw SystemError(errno, "close \(name)")
    }
  }

  /// Reads what is there at an offset into a part of an array, fewer bytes only where the file ends.
  ///
  /// - Returns: How many bytes were read.
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

  /// Asks the system to forget its copy, so that what is read next comes from where it lies. It
  /// forgets only what is durable already.
  public func dropCache() { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }

  /// Shares a lock (flock) that lasts until the file is closed or the process dies, however it dies.
  ///
  /// - Returns: False where somebody holds it alone.
  public func lockShared() throws(SystemError) -> Bool { try lock(LOCK_SH) }

  /// Takes the lock alone, without waiting.
  public func lockAlone() throws(SystemError) -> Bool { try lock(LOCK_EX) }

  private func lock(_ kind: Int32) throws(SystemError) -> Bool {
    while flock(descriptor, kind | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      guard errno == EWOULDBLOCK else { throw SystemError(errno, "lock \(name)") }
      return false
    }
    return true
  }

  /// Sets the permission bits, whatever the umask says. File systems without any do not matter.
  public func setMode(_ mode: UInt32) { fchmod(descriptor, mode) }

  public func status() throws(SystemError) -> FileSystem.Status {
    var raw = stat()
    guard fstat(descriptor, &raw) == 0 else { throw SystemError(errno, "look at \(name)") }
    return FileSystem.Status(raw)
  }
}
