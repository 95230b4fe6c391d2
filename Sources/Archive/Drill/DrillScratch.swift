import Glibc
import Host
import Ledger

/// A directory with an empty cluster in it, which is gone when the drill is.
///
/// It holds a lock while its process lives, by which the next drill knows what a killed one left.
final class DrillScratch {
  static let prefix = "opsledger-drill."

  let path: String
  let cluster: PrivatePostgres
  private let lock: FileLock

  /// - Parameter directory: In which it is made.
  init(in directory: String) throws(HostError) {
    Self.sweep(directory)
    let path = "\(directory)/\(Self.prefix)\(getpid()).\(UInt32.random(in: 0...UInt32.max))"
    // The server's user passes through it, and sees nothing of it.
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

  /// The scratch cluster's URL. What libpq's variables ask of the live server (a standby, say) is not asked of it.
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

  /// Removes what killed drills left, as far as it is ours to remove.
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
