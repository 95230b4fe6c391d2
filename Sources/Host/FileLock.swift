import Glibc

/// An exclusive lock between processes (flock) while this object lives. The kernel releases the lock when the process
/// ends.
public final class FileLock {
  private let file: Int32

  /// Waits for the lock.
  ///
  /// - Throws: If the file cannot be opened, or another process holds the lock until the timeout.
  public init(_ path: String, timeoutMillis: Int) throws(HostError) {
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw .system(errno, "open \(path)") }
    let deadline = Stopwatch.nowMillis + timeoutMillis
    while flock(file, LOCK_EX | LOCK_NB) != 0 {
      guard errno == EWOULDBLOCK || errno == EINTR else {
        throw .system(errno, "lock \(path)")
      }
      guard Stopwatch.nowMillis < deadline else {
        throw HostError(
          .unusable, "another process holds the lock on file \(path)",
          hint: "see which: fuser \(path); then try again")
      }
      usleep(20_000)
    }
  }

  deinit {
    if file >= 0 { close(file) }
  }
}
