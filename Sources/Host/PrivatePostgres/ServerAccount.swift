import Glibc

/// The system user that runs the server: this process's user, or `postgres` if that is root, since PostgreSQL refuses
/// to run as root.
struct ServerAccount: Sendable {
  let user: Machine.User
  /// Whether the server's programs must change to that user first.
  let changesUser: Bool

  static func current() throws(HostError) -> ServerAccount {
    guard Machine.userID == 0 else {
      let me = Machine.User(id: geteuid(), group: getegid(), name: Machine.userName)
      return ServerAccount(user: me, changesUser: false)
    }
    guard let postgres = Machine.user(named: "postgres") else {
      throw HostError(
        .unusable, "there is no system user postgres, and PostgreSQL does not run as root",
        hint: "apt-get install postgresql, or run opsledger as another user")
    }
    return ServerAccount(user: postgres, changesUser: true)
  }

  /// A command that runs as this user, in `/`, and with an environment of its own. So it gets no secrets, and no PGPORT
  /// of another server.
  func command(
    _ program: String, _ arguments: [String], input: String = "", timeoutMillis: Int? = nil
  ) -> Subprocess {
    let environment = [
      "PATH": Subprocess.searchPath, "HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "UTC",
    ]
    let change = ["--reuid=\(user.id)", "--regid=\(user.group)", "--clear-groups", "--"]
    return Subprocess(
      changesUser ? "setpriv" : program, changesUser ? change + [program] + arguments : arguments,
      environment: environment, directory: "/", input: Array(input.utf8),
      timeoutMillis: timeoutMillis)
  }

  /// Whether this user may pass through a directory.
  func canEnter(_ directory: String) throws(HostError) -> Bool {
    guard changesUser else { return true }
    return try command("test", ["-x", directory], timeoutMillis: 10_000).run().succeeded
  }

  /// Makes a directory that only this user may enter, or changes an existing one so.
  ///
  /// - Throws: Also if another user made a file of that name, as everybody can in /tmp.
  func makePrivateDirectory(_ path: String) throws(HostError) {
    let made = mkdir(path, 0o700) == 0
    guard made || errno == EEXIST else { throw .system(errno, "make directory \(path)") }
    guard let status = FileSystem.status(path, followingLink: false), status.kind == .directory,
      status.owner == user.id || status.owner == Machine.userID
    else {
      throw HostError(
        .unusable, "\(path) exists, and is not a directory of system user \(user.name)",
        hint: "see who made it: ls -ld \(path)")
    }
    if status.owner != user.id, lchown(path, user.id, user.group) != 0 {
      throw .system(errno, "make \(user.name) the owner of \(path)")
    }
    guard status.mode != 0o700 else { return }
    guard chmod(path, 0o700) == 0 else { throw .system(errno, "set the permissions of \(path)") }
  }
}
