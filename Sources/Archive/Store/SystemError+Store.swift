import Glibc
import Host
import Ledger

extension OpsError {
  /// The error of a failed system call on a file of a store.
  ///
  /// - Parameter reading: Whether the call read the content of a file. If the disk fails then, this file is damaged,
  ///   and others may be sound.
  init(_ error: SystemError, in place: String, _ name: String? = nil, reading: Bool = false) {
    let (code, hint) = Self.meaning(of: error.number, reading: reading)
    self.init(
      code, "store \(place): cannot \(error.doing): \(error.reason)", hint: hint,
      cause: .store(StoreFault(code.storeFault, at: place, file: name)))
  }

  private static func meaning(of number: Int32, reading: Bool) -> (Code, hint: String?) {
    switch number {
    case ENOENT, ENOTDIR:
      (.notFound, nil)
    case ENOSPC, EDQUOT, EFBIG:
      (.notAllowed, "free space there, and push again; the files of the store are sound")
    case EROFS:
      (.notAllowed, "make it writable, or name another store; the store can still be read")
    case EACCES:
      (.notAllowed, "let the user that runs opsledger read and write there")
    case EPERM, EMLINK, EOPNOTSUPP:
      (.notAllowed, "use a file system with hard links, without locked (immutable) files")
    case ELOOP:
      (.notAllowed, "opsledger follows no links in a store: replace the link by its file")
    case ENAMETOOLONG:
      (.notAllowed, "name a store with a shorter path")
    case EIO where reading:
      (.storeDiverged, "the disk cannot read this file: look at the kernel's log")
    case EIO:
      (.databaseUnreachable, "the disk fails: look at the kernel's log, and name another store")
    case ESTALE, ENODEV, ENXIO, ENOTCONN, EHOSTDOWN, ETIMEDOUT:
      (.databaseUnreachable, "check that the store is still mounted")
    default:
      (.databaseUnreachable, nil)
    }
  }
}

extension OpsError.Code {
  /// Whether the file is damaged, or only unavailable now.
  var storeFault: StoreFault.Kind { self == .storeDiverged ? .damaged : .unavailable }
}

/// Turns a system error into an error of the store.
func inStore<Answer>(
  _ place: String, _ name: String? = nil, reading: Bool = false,
  _ body: () throws(SystemError) -> Answer
) throws(OpsError) -> Answer {
  do { return try body() } catch { throw OpsError(error, in: place, name, reading: reading) }
}
