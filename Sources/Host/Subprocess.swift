import CHost
import Glibc

/// A program to run, with its arguments. No shell reads them.
public struct Subprocess: Sendable {
  public enum Streams: Sendable {
    /// The output is collected. The child has a process group of its own, which ends with it.
    case capture
    /// The child uses this process's terminal and process group.
    case inherit
  }

  /// A path, or a name that is looked up in PATH.
  public var program: String
  /// The arguments after the program's name.
  public var arguments: [String]
  /// The whole environment of the child; nil is this process's.
  public var environment: [String: String]?
  /// The child's working directory; nil is this process's.
  public var directory: String?
  public var streams = Streams.capture
  /// The child's standard input.
  public var input: [UInt8] = []
  /// The group gets TERM after this time, and KILL `graceMillis` later.
  public var timeoutMillis: Int?
  public var graceMillis = 2000
  /// Ends the child as a timeout does.
  public var stop: StopSignal?
  /// The number of bytes of stdout and of stderr that are kept. The child may write more.
  public var outputBytesMax = 1 << 20

  public init(
    _ program: String, _ arguments: [String] = [], environment: [String: String]? = nil,
    directory: String? = nil, input: [UInt8] = [], timeoutMillis: Int? = nil
  ) {
    self.program = program
    self.arguments = arguments
    self.environment = environment
    self.directory = directory
    self.input = input
    self.timeoutMillis = timeoutMillis
  }

  public enum Ending: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)
  }

  public struct Result: Equatable, Sendable {
    public var ending: Ending
    public var timedOut: Bool
    public var output: [UInt8]
    public var errors: [UInt8]
    /// Whether the child wrote more than is kept.
    public var truncated: Bool
    public var elapsedMillis: Int

    public var succeeded: Bool { ending == .exited(0) && !timedOut }
    public var outputText: String { String(decoding: output, as: UTF8.self) }
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
  }

  /// Runs the program to its end.
  ///
  /// When the child ends, the other processes of its group get KILL. A process that has left the group is not waited
  /// for.
  ///
  /// - Throws: If the program cannot be started. Its exit code is not an error here.
  public func run() throws(HostError) -> Result {
    let path = try Self.path(of: program)
    switch streams {
    case .inherit: return try runInheriting(path)
    case .capture:
      var run = try CapturedRun(self, path: path)
      return run.finish()
    }
  }

  /// Replaces this process by the program.
  ///
  /// - Throws: If the program cannot be started.
  public func replaceProcess() throws(HostError) -> Never {
    let path = try Self.path(of: program)
    if let directory, chdir(directory) != 0 {
      throw .system(errno, "change to directory \(directory)")
    }
    signal(SIGPIPE, SIG_DFL)
    signal(SIGINT, SIG_DFL)
    signal(SIGTERM, SIG_DFL)
    let reason = withVectors { arguments, environment in
      execve(path, arguments, environment)
      return errno
    }
    throw .system(reason, "run \(path)")
  }

  /// Starts the program as a daemon, in a session of its own and with init as its parent.
  ///
  /// - Parameter log: An open descriptor for its output and errors.
  /// - Returns: Its process id.
  func startDaemon(log: Int32) throws(HostError) -> Int32 {
    let path = try Self.path(of: program)
    var pid: pid_t = 0
    let reason = start(path, input: -1, output: log, errors: log, ownGroup: false) {
      host_spawn_daemon($0, &pid)
    }
    guard reason == 0 else { throw .system(reason, "run \(path)") }
    return pid
  }

  /// The path of a program. A name without a slash is looked up in PATH.
  static func path(of program: String) throws(HostError) -> String {
    if program.contains("/") { return program }
    guard let path = find(program) else {
      throw HostError(.unusable, "the program \(program) is not in PATH")
    }
    return path
  }

  static var searchPath: String {
    getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
  }

  /// The path of an executable in PATH, or nil.
  static func find(_ name: String) -> String? {
    for directory in searchPath.split(separator: ":") {
      let path = "\(directory)/\(name)"
      if access(path, X_OK) == 0, FileSystem.status(path)?.kind == .file { return path }
    }
    return nil
  }

  private func runInheriting(_ path: String) throws(HostError) -> Result {
    let watch = Stopwatch()
    var pid: pid_t = 0
    let reason = start(path, input: 0, output: 1, errors: 2, ownGroup: false) {
      host_spawn($0, &pid)
    }
    guard reason == 0 else { throw .system(reason, "run \(path)") }
    return Result(
      ending: Self.reap(pid), timedOut: false, output: [], errors: [], truncated: false,
      elapsedMillis: watch.elapsedMillis)
  }

  /// Waits for a child to end, and removes it from the process table.
  static func reap(_ pid: pid_t) -> Ending {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    let signalNumber = status & 0x7F
    return signalNumber == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signalNumber)
  }

  /// Calls `body` with the arguments of a start in C.
  func start(
    _ path: String, input: Int32, output: Int32, errors: Int32, ownGroup: Bool,
    _ body: (UnsafePointer<host_start>) -> Int32
  ) -> Int32 {
    withVectors { arguments, environment in
      path.withCString { path in
        func call(_ directory: UnsafePointer<CChar>?) -> Int32 {
          var start = host_start(
            path: path, argv: arguments, envp: environment, directory: directory, input: input,
            output: output, errors: errors, own_group: ownGroup)
          return body(&start)
        }
        guard let directory else { return call(nil) }
        return directory.withCString { call($0) }
      }
    }
  }

  private typealias Vector = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

  private func withVectors(_ body: (Vector, Vector) -> Int32) -> Int32 {
    let variables = environment ?? Environment.processVariables()
    var argv = ([program] + arguments).map { strdup($0) }
    var envp = variables.map { strdup("\($0.key)=\($0.value)") }
    defer { for text in argv + envp { free(text) } }
    argv.append(nil)
    envp.append(nil)
    return argv.withUnsafeMutableBufferPointer { argv in
      envp.withUnsafeMutableBufferPointer { envp in
        guard let first = argv.baseAddress, let second = envp.baseAddress else { return EINVAL }
        return body(first, second)
      }
    }
  }
}
