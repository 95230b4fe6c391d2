import Glibc
import Host
import Ledger

extension OpsError {
  /// What a refused system call means for a file of a store.
  ///
  /// - Parameter reading: Whether the content of a file was being read: a medium that does not give
  ///   it back has damaged this file, and says nothing of the others.
  init(_ error: SystemError, in place: String, _ name: String? = nil, reading: Bool = false) {
    let (code, hint) = Self.meaning(of: error.number, reading: reading)
    self.init(
      code, "store \(place): cannot \(error.doing): \(error.reason)", hint: hint,
      cause: .store(StoreFault(code.storeFault, at: place, file: name)))
  }

  private static func meaning(of number: Int32, reading: Bool) -> (Code, hint: String?) {
    switch number {
    case ENOENT, ENOTDIR, EISDIR:
      (.notFound, nil)
    case ENOSPC, EDQUOT, EFBIG:
      (.notAllowed, "make room there; the files of the store are whole, and the next try goes on")
    case EROFS:
      (.notAllowed, "make it writable, or name another store; what is in it can still be read")
    case EACCES:
      (.notAllowed, "let the user that runs opsledger read and write there")
    case EPERM, EMLINK, EOPNOTSUPP:
      (.notAllowed, "a store wants a file system with hard links, whose files nothing locks")
    case ELOOP:
      (.notAllowed, "a store follows no links in it: put there what the link points to")
    case ENAMETOOLONG:
      (.notAllowed, "name a store with a shorter path")
    case EIO where reading:
      (.storeDiverged, "its disk does not give this file back: look at the kernel's log")
    case EIO:
      (.databaseUnreachable, "its disk fails: look at the kernel's log, and name another store")
    case ESTALE, ENODEV, ENXIO, ENOTCONN, EHOSTDOWN, ETIMEDOUT:
      (.databaseUnreachable, "look whether it is still mounted")
    default:
      (.databaseUnreachable, nil)
    }
  }
}

extension OpsError.Code {
  /// What it says of a file that could not be read or written: damaged, or for now not to be had.
  var storeFault: StoreFault.Kind { self == .storeDiverged ? .damaged : .unavailable }
}

/// Runs what throws the machine's errors where the store's are wanted.
func inStore<Answer>(
  _ place: String, _ name: String? = nil, reading: Bool = false,
  _ body: () throws(SystemError) -> Answer
) throws(OpsError) -> Answer {
  do { return try body() } catch { throw OpsError(error, in: place, name, reading: reading) }
}
