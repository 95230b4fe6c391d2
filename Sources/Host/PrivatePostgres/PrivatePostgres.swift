/// A PostgreSQL of one's own, kept in a folder `.opsledger`: reached by a unix socket only, started
/// on demand, and left running.
///
/// The folder is opened only by the user who owns it. Whoever may enter the folder of the socket
/// may use every login, the superuser's too; that folder is 0700, the server's own.
///
/// As root, the server runs as user `postgres`. Where that user cannot reach the folder, data and
/// socket are in `/var/lib/opsledger/<id>`. A path that a socket's name cannot hold moves the
/// socket, and only that, to `/tmp/opsledger-<uid>-<id>`.
public struct PrivatePostgres: Sendable {
  /// Who to log in as.
  public enum Login: String, CaseIterable, Sendable {
    /// The binary's own: member of `opsledger_engine`.
    case engine = "opsledger"
    /// People's: member of `opsledger_operator` and `opsledger_tables`.
    case person = "operator"
    case superuser = "postgres"
  }

  public static let folderName = ".opsledger"
  /// The database in it that holds the ledger.
  public static let databaseName = "opsledger"

  /// The folder, absolute.
  public let folder: String
  let record: ClusterRecord

  init(folder: String, record: ClusterRecord) {
    self.folder = folder
    self.record = record
  }

  /// The private PostgreSQL in reach: that of `home` where it is given, else the nearest folder
  /// `.opsledger` in a directory or above it.
  ///
  /// - Parameter home: what OPSLEDGER_HOME says: the directory that holds `.opsledger`, or that
  ///   folder itself.
  /// - Throws: where there is one that belongs to someone else, or that cannot be read.
  public static func find(
    from directory: String = ".", home: String? = nil
  ) throws(HostError) -> PrivatePostgres? {
    if let home { return try open(folder(in: home)) }
    guard var place = FileSystem.realPath(directory) else { return nil }
    while true {
      if let found = try open(folder(in: place)) { return found }
      guard place != "/" else { return nil }
      place = FileSystem.parent(of: place)
    }
  }

  /// The folder that a directory's private PostgreSQL is in, whether it is there or not.
  static func folder(in directory: String) -> String {
    var directory = directory
    while directory.count > 1 && directory.hasSuffix("/") { directory.removeLast() }
    if directory == folderName || directory.hasSuffix("/" + folderName) { return directory }
    return directory == "/" ? "/" + folderName : "\(directory)/\(folderName)"
  }

  /// Opens a folder, or answers nil where it holds no whole cluster.
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

  /// A folder of another user decides nothing for us: it could name any server as ours.
  static func requireOwn(_ path: String, _ status: FileSystem.Status) throws(HostError) {
    guard status.owner == Machine.userID, status.mode & 0o022 == 0 else {
      let owner = Machine.user(id: status.owner)?.name ?? "uid \(status.owner)"
      let why =
        status.owner == Machine.userID
        ? "others may write to it" : "it belongs to \(owner), and only its owner may open it"
      throw HostError(
        .unusable, "\(path) cannot be trusted: \(why)",
        hint: "run as its owner, or say --database or OPSLEDGER_HOME")
    }
  }

  /// Where the data is, absolute.
  public var dataDirectory: String { (record.base ?? folder) + "/data" }

  /// What the server says about itself, absolute.
  public var logFile: String { folder + "/log" }

  /// Where the socket is, absolute. Worked out anew each time, since a folder can be moved.
  public var socketDirectory: String {
    let usual = (record.base ?? folder) + "/run"
    return Self.holdsSocket(usual) ? usual : "/tmp/opsledger-\(serverUserID)-\(record.id)"
  }

  /// A URL that libpq understands. Its empty `hostaddr` keeps PGHOSTADDR from leading elsewhere.
  ///
  /// - Parameter database: another database of the same server, for scratch work.
  public func url(login: Login, database: String = PrivatePostgres.databaseName) -> String {
    "postgresql://\(login.rawValue)@/\(Self.percentEncoded(database))"
      + "?host=\(Self.percentEncoded(socketDirectory))&port=\(record.port)&hostaddr="
  }

  var socketFile: String { "\(socketDirectory)/.s.PGSQL.\(record.port)" }

  private var serverUserID: UInt32 { Machine.user(named: record.user)?.id ?? Machine.userID }

  /// A socket's name has 107 bytes, and libpq takes a comma for the end of a host.
  static func holdsSocket(_ directory: String) -> Bool {
    directory.utf8.count + "/.s.PGSQL.65535.lock".utf8.count <= 107 && !directory.contains(",")
  }

  static func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."),
        UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "~"):
        encoded.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        encoded += byte < 16 ? "%0\(digits)" : "%\(digits)"
      }
    }
    return encoded
  }
}
