/// A PostgreSQL server for one user, in a folder `.opsledger`. It listens on a unix socket only. opsledger starts it
/// when it is needed, and does not stop it.
///
/// Only the owner of the folder may open it. A user who can enter the socket's directory can use every login, also the
/// superuser's, so that directory belongs to the server's user and has mode 0700.
///
/// If opsledger runs as root, the server runs as user `postgres`. If that user cannot enter the folder, data and socket
/// are in `/var/lib/opsledger/<id>`. If the socket's path is too long, the socket is in `/tmp/opsledger-<uid>-<id>`.
public struct PrivatePostgres: Sendable {
  public enum Login: String, CaseIterable, Sendable {
    /// The program's login, a member of `opsledger_engine`.
    case engine = "opsledger"
    /// The login of people, a member of `opsledger_operator` and `opsledger_tables`.
    case person = "operator"
    case superuser = "postgres"
  }

  public static let folderName = ".opsledger"
  /// The ledger's database.
  public static let databaseName = "opsledger"

  /// An absolute path.
  public let folder: String
  let record: ClusterRecord

  init(folder: String, record: ClusterRecord) {
    self.folder = folder
    self.record = record
  }

  /// Finds a private PostgreSQL: in `home`, or else in the nearest folder `.opsledger` in a directory or above it.
  ///
  /// - Parameter home: The value of OPSLEDGER_HOME: a directory that contains `.opsledger`, or that folder itself.
  /// - Throws: If the folder belongs to another user or cannot be read.
  public static func find(
    from directory: String = ".", home: String? = nil
  ) throws(HostError) -> PrivatePostgres? {
    if let home { return try open(folder(in: home)) }
    guard var parent = FileSystem.realPath(directory) else { return nil }
    while true {
      if let found = try open(folder(in: parent)) { return found }
      guard parent != "/" else { return nil }
      parent = FileSystem.parent(of: parent)
    }
  }

  /// The folder of a directory's private PostgreSQL. It need not exist.
  static func folder(in directory: String) -> String {
    var directory = directory
    while directory.count > 1 && directory.hasSuffix("/") { directory.removeLast() }
    if directory == folderName || directory.hasSuffix("/" + folderName) { return directory }
    return directory == "/" ? "/" + folderName : "\(directory)/\(folderName)"
  }

  /// Opens a folder. Nil if it has no complete cluster.
  static func open(_ path: String) throws(HostError) -> PrivatePostgres? {
    guard let status = FileSystem.status(path), status.kind == .directory else { return nil }
    try requireOwn(path, status)
    let folder = FileSystem.realPath(path) ?? path
    let file = folder + "/cluster"
    guard let fileStatus = FileSystem.status(file, followingLink: false) else { return nil }
    try requireOwn(file, fileStatus)
    return PrivatePostgres(
      folder: folder, record: try ClusterRecord(try FileSystem.readText(file), path: file))
  }

  /// Refuses a folder that another user can write, since it could name another server.
  static func requireOwn(_ path: String, _ status: FileSystem.Status) throws(HostError) {
    guard status.owner == Machine.userID, status.mode & 0o022 == 0 else {
      let owner = Machine.user(id: status.owner)?.name ?? "uid \(status.owner)"
      let why =
        status.owner == Machine.userID
        ? "other users can write to it" : "it belongs to \(owner), and only its owner may use it"
      throw HostError(
        .unusable, "\(path) cannot be trusted: \(why)",
        hint: "run as its owner, or set --database or OPSLEDGER_HOME")
    }
  }

  public var dataDirectory: String { (record.base ?? folder) + "/data" }

  /// The server's log.
  public var logFile: String { folder + "/log" }

  /// Computed at each use, since a folder can be moved.
  public var socketDirectory: String {
    let usual = (record.base ?? folder) + "/run"
    return Self.holdsSocket(usual) ? usual : "/tmp/opsledger-\(serverUserID)-\(record.id)"
  }

  /// A URL for libpq. Its empty `hostaddr` makes libpq ignore PGHOSTADDR.
  public func url(login: Login, database: String = PrivatePostgres.databaseName) -> String {
    "postgresql://\(login.rawValue)@/\(Self.percentEncoded(database))"
      + "?host=\(Self.percentEncoded(socketDirectory))&port=\(record.port)&hostaddr="
  }

  var socketFile: String { "\(socketDirectory)/.s.PGSQL.\(record.port)" }

  private var serverUserID: UInt32 { Machine.user(named: record.user)?.id ?? Machine.userID }

  /// A socket's path has at most 107 bytes, and libpq ends a host at a comma.
  static func holdsSocket(_ directory: String) -> Bool {
    directory.utf8.count + "/.s.PGSQL.65535.lock".utf8.count <= 107 && !directory.contains(",")
  }

  static func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
      let scalar = Unicode.Scalar(byte)
      if byte < 0x80,
        scalar.properties.isAlphabetic || "0123456789/.-_~".unicodeScalars.contains(scalar)
      {
        encoded.unicodeScalars.append(scalar)
      } else {
        encoded += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
      }
    }
    return encoded
  }
}
