import Glibc

extension PrivatePostgres {
  /// Makes a private PostgreSQL in a directory, if there is none, and starts it. Two processes that do so at the same
  /// time get the same one.
  ///
  /// The record is written last. An interrupted creation has none, and the next one begins again.
  ///
  /// - Parameter directory: The directory that contains `.opsledger`, or that folder itself.
  public static func create(at directory: String = ".") throws(HostError) -> PrivatePostgres {
    try create(at: directory, durable: true)
  }

  /// - Parameter durable: False if it is not to wait for the disk, for tests that make many.
  static func create(
    at directory: String, durable: Bool
  ) throws(HostError) -> PrivatePostgres {
    let folder = try makeFolder(in: directory)
    let lock = try FileLock(folder + "/lock", timeoutMillis: startTimeoutMillis * 2)
    defer { withExtendedLifetime(lock) {} }
    if let found = try open(folder) {
      _ = try found.startLocked()
      return found
    }
    let programs = try PostgresPrograms.find()
    let account = try ServerAccount.current()
    let cluster = try prepare(folder, account)
    try cluster.makeData(programs, account, durable: durable)
    _ = try cluster.startLocked()
    try cluster.makeLogins(programs, account)
    try FileSystem.write(cluster.record.text, to: folder + "/cluster", mode: 0o600)
    unlink(cluster.draftFile)
    return cluster
  }

  private static func makeFolder(in directory: String) throws(HostError) -> String {
    let path = folder(in: directory)
    if FileSystem.status(path) == nil {
      try FileSystem.makeDirectory(path, mode: 0o700, parents: true)
    }
    guard let status = FileSystem.status(path), status.kind == .directory,
      let folder = FileSystem.realPath(path)
    else {
      throw HostError(
        .unusable, "\(path) exists, and is not a directory",
        hint: "move it away, or set OPSLEDGER_HOME to another folder")
    }
    try requireOwn(path, status)
    return folder
  }

  /// Chooses the directories, and removes the files of an interrupted creation.
  private static func prepare(
    _ folder: String, _ account: ServerAccount
  ) throws(HostError) -> PrivatePostgres {
    let draft = folder + "/cluster.draft"
    if let text = try? FileSystem.readText(draft),
      let record = try? ClusterRecord(text, path: draft)
    {
      let leftover = PrivatePostgres(folder: folder, record: record)
      try leftover.stopLocked()
      try leftover.removeFiles()
    }
    var record = ClusterRecord(base: nil, user: account.user.name)
    if account.changesUser {
      // The server's user may pass through the folder, but not read it.
      guard chmod(folder, 0o711) == 0 else {
        throw .system(errno, "set the permissions of \(folder)")
      }
      if try !account.canEnter(folder) {
        chmod(folder, 0o700)
        record.base = ClusterRecord.outside(record.id)
      }
    }
    try FileSystem.write(record.text, to: draft, mode: 0o600)
    try FileSystem.write("*\n", to: folder + "/.gitignore")
    if let base = record.base {
      try FileSystem.makeDirectory(ClusterRecord.outsideDirectory, mode: 0o711, parents: true)
      try FileSystem.makeDirectory(base, mode: 0o711)
      try FileSystem.write(folder + "\n", to: base + "/folder")
    }
    return PrivatePostgres(folder: folder, record: record)
  }

  private var draftFile: String { folder + "/cluster.draft" }

  private func makeData(
    _ programs: PostgresPrograms, _ account: ServerAccount, durable: Bool
  ) throws(HostError) {
    // A folder that was copied without its record may hold the only copy of a database.
    if FileSystem.exists(dataDirectory + "/PG_VERSION") {
      throw HostError(
        .unusable, "\(dataDirectory) is a database, but the file \(folder)/cluster is missing",
        hint: "move the database to another place, or put the file back")
    }
    try account.makePrivateDirectory(dataDirectory)
    var arguments = [
      "--pgdata=\(dataDirectory)", "--username=\(Login.superuser.rawValue)", "--auth=trust",
      "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
    ]
    if !durable { arguments.append("--no-sync") }
    let result = try account.command(
      programs.path("initdb"), arguments, timeoutMillis: 300_000
    ).run()
    guard result.succeeded else {
      throw HostError(
        .unusable, "cannot make a database in \(dataDirectory): \(Self.reason(result.errorText))")
    }
    let configuration = Self.configuration + (durable ? "" : "fsync = off\n")
    try FileSystem.writeInPlace(
      configuration, to: dataDirectory + "/postgresql.conf", appending: true)
    try FileSystem.writeInPlace("local all all trust\n", to: dataDirectory + "/pg_hba.conf")
  }

  /// Additions to postgresql.conf. The socket is an argument of each start.
  private static let configuration = """

    # opsledger
    fsync = on
    wal_level = replica
    autovacuum = on
    max_connections = 100
    shared_buffers = 128MB
    timezone = 'UTC'
    log_timezone = 'UTC'
    log_destination = 'stderr'
    logging_collector = off
    log_line_prefix = '%m [%p] %u %a '

    """

  private func makeLogins(
    _ programs: PostgresPrograms, _ account: ServerAccount
  ) throws(HostError) {
    let statements = """
      CREATE ROLE opsledger_engine NOLOGIN;
      CREATE ROLE opsledger_operator NOLOGIN;
      CREATE ROLE opsledger_tables NOLOGIN;
      CREATE ROLE opsledger LOGIN IN ROLE opsledger_engine;
      CREATE ROLE "operator" LOGIN IN ROLE opsledger_operator, opsledger_tables;
      CREATE DATABASE \(Self.databaseName);
      """
    let arguments = [
      "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--host=\(socketDirectory)",
      "--port=\(record.port)", "--username=\(Login.superuser.rawValue)", "--dbname=postgres",
      "--file=-",
    ]
    let result = try account.command(
      programs.psql, arguments, input: statements, timeoutMillis: 60_000
    ).run()
    guard result.succeeded else {
      throw HostError(
        .unusable,
        "cannot make the logins of the private PostgreSQL: \(Self.reason(result.errorText))")
    }
  }

  /// Stops the server and deletes its data, socket and folder for ever.
  public func remove() throws(HostError) {
    do {
      let lock = try takeLock()
      defer { withExtendedLifetime(lock) {} }
      try stopLocked()
      try removeFiles()
    }
    // By name, since the folder may be a link to a directory with other files.
    for name in ["cluster", "cluster.draft", "log", "log.old", ".gitignore", "lock"] {
      unlink("\(folder)/\(name)")
    }
    rmdir(folder)
  }

  /// Removes the private PostgreSQL of a directory, also after an interrupted creation.
  public static func remove(at directory: String) throws(HostError) {
    let folder = folder(in: directory)
    for name in ["/cluster", "/cluster.draft"] where FileSystem.exists(folder + name) {
      let text = try FileSystem.readText(folder + name)
      return try PrivatePostgres(
        folder: folder, record: try ClusterRecord(text, path: folder + name)
      ).remove()
    }
  }

  private func removeFiles() throws(HostError) {
    try Self.removeTree(dataDirectory)
    try Self.removeTree(socketDirectory)
    if let base = record.base { try Self.removeTree(base) }
  }

  private static func removeTree(_ path: String) throws(HostError) {
    let result = try Subprocess("rm", ["-rf", "--", path]).run()
    guard result.succeeded else {
      throw HostError(.unusable, "cannot remove \(path): \(reason(result.errorText))")
    }
  }

  /// The databases in /var/lib/opsledger whose folder no longer exists. A person may remove them.
  public static func orphans() -> [String] {
    FileSystem.names(in: ClusterRecord.outsideDirectory).map(ClusterRecord.outside).filter { base in
      guard let text = try? FileSystem.readText(base + "/folder") else { return false }
      let folder = String(text.dropLast())
      return !["/cluster", "/cluster.draft"].contains { name in
        guard let record = try? FileSystem.readText(folder + name) else { return false }
        return record.contains("\nbase=\(base)\n")
      }
    }
  }
}
