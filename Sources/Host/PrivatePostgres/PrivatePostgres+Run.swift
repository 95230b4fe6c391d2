import Glibc

extension PrivatePostgres {
  static let startTimeoutMillis = 60_000

  /// Whether the server accepts connections.
  public var isRunning: Bool {
    if case .ready = ServerProcess.state(dataDirectory) { return FileSystem.exists(socketFile) }
    return false
  }

  /// Whether an upgrade has replaced or removed the server's program since its start. Libraries that the server loads
  /// now may not fit it.
  public var programsWereReplaced: Bool {
    guard let pid = ServerProcess.state(dataDirectory).pid else { return false }
    return ServerProcess.link(pid, "exe")?.hasSuffix(" (deleted)") ?? false
  }

  /// Starts the server unless it runs. Two processes that do so at the same time start it once.
  ///
  /// - Returns: Whether this call started it.
  @discardableResult
  public func ensureStarted() throws(HostError) -> Bool {
    if isRunning { return false }
    let lock = try takeLock()
    defer { withExtendedLifetime(lock) {} }
    return try startLocked()
  }

  /// Stops the server, which rolls back all open transactions.
  ///
  /// - Returns: Whether it ran.
  @discardableResult
  public func stop() throws(HostError) -> Bool {
    let lock = try takeLock()
    defer { withExtendedLifetime(lock) {} }
    return try stopLocked()
  }

  func takeLock() throws(HostError) -> FileLock {
    try FileLock(folder + "/lock", timeoutMillis: Self.startTimeoutMillis * 2)
  }

  /// Waits until the server is ready. Starts it if it does not run, or after the previous server has stopped.
  func startLocked() throws(HostError) -> Bool {
    let deadline = Stopwatch.nowMillis + Self.startTimeoutMillis
    var started = false
    while Stopwatch.nowMillis < deadline {
      switch ServerProcess.state(dataDirectory) {
      case .ready:
        if FileSystem.exists(socketFile) { return started }
        try stopLocked()  // Its socket was deleted, so nobody can connect.
      case .starting, .stopping:
        usleep(10_000)
      case .stopped:
        do {
          try launch(deadline)
          started = true
        } catch {
          // Children of a killed server still run.
          guard error.message.contains("shared memory block") else { throw error }
          usleep(200_000)
        }
      }
    }
    throw HostError(
      .unusable, "PostgreSQL in \(folder) is not ready after \(Self.startTimeoutMillis / 1000) s",
      hint: "PostgreSQL may still recover: see \(logFile), and try again")
  }

  @discardableResult
  func stopLocked() throws(HostError) -> Bool {
    let deadline = Stopwatch.nowMillis + Self.startTimeoutMillis
    var ran = false
    var signalled: Int32 = 0
    while let pid = ServerProcess.state(dataDirectory).pid {
      ran = true
      if signalled != pid {
        // SIGINT is PostgreSQL's fast shutdown.
        guard kill(pid, SIGINT) == 0 || errno == ESRCH else {
          throw .system(errno, "stop PostgreSQL in \(folder), process \(pid)")
        }
        signalled = pid
      }
      guard Stopwatch.nowMillis < deadline else {
        throw HostError(
          .unusable,
          "PostgreSQL in \(folder), process \(pid), did not stop within "
            + "\(Self.startTimeoutMillis / 1000) s",
          hint: "see \(logFile)")
      }
      usleep(10_000)
    }
    return ran
  }

  /// Starts the server once, and waits until it is ready or has ended.
  private func launch(_ deadline: Int) throws(HostError) {
    let account = try ServerAccount.current()
    guard account.user.name == record.user else {
      throw HostError(
        .unusable, "only system user \(record.user) can start PostgreSQL in \(folder)",
        hint: "run opsledger as that user, or name another database with --database")
    }
    let programs = try PostgresPrograms.find(major: try dataVersion())
    try account.makePrivateDirectory(socketDirectory)
    ServerProcess.forgetDead(dataDirectory)
    unlink(socketFile)
    unlink(socketFile + ".lock")
    let log = try openLog()
    defer { close(log) }
    let before = lseek(log, 0, SEEK_END)
    let quoted = socketDirectory.map { $0 == "\"" ? "\"\"" : String($0) }.joined()
    let arguments = [
      "-D", dataDirectory, "-p", "\(record.port)", "-c", "listen_addresses=",
      "-c", "unix_socket_directories=\"\(quoted)\"", "-c", "unix_socket_permissions=0777",
    ]
    let pid = try account.command(programs.path("postgres"), arguments).startDaemon(log: log)
    while Stopwatch.nowMillis < deadline {
      if case .ready(let ready) = ServerProcess.state(dataDirectory), ready == pid { return }
      guard ServerProcess.isAlive(pid) else {
        throw HostError(
          .unusable, "PostgreSQL in \(folder) does not start: \(reason(after: before))",
          hint: "see \(logFile)")
      }
      usleep(10_000)
    }
  }

  private func dataVersion() throws(HostError) -> Int {
    let text = try FileSystem.readText(dataDirectory + "/PG_VERSION")
    guard let major = Int(text.prefix { $0.isNumber }) else {
      throw HostError(
        .unusable, "\(dataDirectory)/PG_VERSION does not have the number of a PostgreSQL version",
        hint: "see the file, and \(logFile)")
    }
    return major
  }

  private func openLog() throws(HostError) -> Int32 {
    if let status = FileSystem.status(logFile), status.bytes > 10 << 20 {
      rename(logFile, logFile + ".old")
    }
    let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW
    let log = Glibc.open(logFile, flags, 0o600)
    guard log >= 0 else { throw .system(errno, "write \(logFile)") }
    return log
  }

  private func reason(after offset: Int) -> String {
    guard let text = try? FileSystem.read(logFile, bytesMax: 64 << 20) else {
      return "the reason is unknown"
    }
    return Self.reason(String(decoding: text.dropFirst(max(0, offset)), as: UTF8.self))
  }

  /// The reason in a program's messages: the first error, or else the last line.
  static func reason(_ messages: String) -> String {
    let lines = messages.split(whereSeparator: \.isNewline)
    for mark in ["FATAL:", "PANIC:", "ERROR:", "error:"] {
      if let line = lines.first(where: { $0.contains(mark) }),
        let end = line.firstRange(of: mark)?.upperBound
      {
        return String(line[end...].drop { $0 == " " })
      }
    }
    return lines.last.map(String.init) ?? "it printed no message"
  }

  /// The path of the psql that belongs to the server.
  public var psql: String {
    guard let major = try? dataVersion(), let programs = try? PostgresPrograms.find(major: major)
    else { return "psql" }
    return programs.psql
  }
}
