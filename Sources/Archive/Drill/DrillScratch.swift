import Glibc
import Host

/// A directory with an empty cluster, which the drill removes at its end.
///
/// Its process holds a lock on it. If the lock is free, the process was killed, and the next drill removes the directory.
final class DrillScratch {
  static let prefix = "opsledger-drill."

  let path: String
  let cluster: PrivatePostgres
  private let lock: FileLock

  /// - Parameter directory: The directory that it is created in.
  init(in directory: String) throws(HostError) {
    Self.sweep(directory)
    let path = "\(directory)/\(Self.prefix)\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
    // The server's user can pass through the directory, and cannot list it.
    try FileSystem.makeDirectory(path, mode: 0o711)
    do throws(HostError) {
      lock = try FileLock(path + "/lock", timeoutMillis: 0)
      cluster = try PrivatePostgres.create(at: path)
      self.path = path
    } catch {
      try? Self.remove(path)
      throw error
    }
  }

  /// The scratch cluster's URL. It overrides the libpq variables that are meant for the live server (a standby, say).
  func url(_ login: PrivatePostgres.Login) -> String {
    cluster.url(login: login)
      + "&target_session_attrs=any&channel_binding=disable&gssencmode=disable&options="
  }

  func remove() throws(HostError) { try Self.remove(path) }

  private static func remove(_ path: String) throws(HostError) {
    try PrivatePostgres.remove(at: path)
    let result = try Subprocess("rm", ["-rf", "--", path]).run()
    guard result.succeeded else {
      throw HostError(.unusable, "cannot remove \(path): \(result.errorText)")
    }
  }

  /// Removes the directories of killed drills that belong to this user.
  private static func sweep(_ directory: String) {
    for name in FileSystem.names(in: directory) where name.hasPrefix(prefix) {
      let path = "\(directory)/\(name)"
      guard let status = FileSystem.status(path, followingLink: false), status.kind == .directory,
        status.owner == Machine.userID, FileSystem.exists(path + "/lock"),
        let lock = try? FileLock(path + "/lock", timeoutMillis: 0)
      else { continue }
      try? remove(path)
      withExtendedLifetime(lock) {}
    }
  }
}
