import CHost
import Glibc

/// A program to run, by argument vector: no shell ever reads it.
public struct Subprocess: Sendable {
  public enum Streams: Sendable {
    /// Output is collected; the child leads a process group of its own, which ends with it.
    case capture
    /// The child talks to our terminal, in our process group.
    case inherit
  }

  /// A path, or a name that is looked up in PATH.
  public var program: String
  /// Arguments after the program's name.
  public var arguments: [String]
  /// The whole environment of the child; nil hands ours on.
  public var environment: [String: String]?
  /// Working directory of the child; nil keeps ours.
  public var directory: String?
  public var streams = Streams.capture
  /// What the child reads on its standard input.
  public var input: [UInt8] = []
  /// TERM is sent to the group after so long, and KILL `graceMillis` later.
  public var timeoutMillis: Int?
  public var graceMillis = 2000
  /// What ends it as a timeout does, when somebody asks us to stop.
  public var stop: StopSignal?
  /// How much of stdout and of stderr is kept, in bytes. The child may write more.
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
    /// Whether more was written than is kept.
    public var truncated: Bool
    public var elapsedMillis: Int

    public var succeeded: Bool { ending == .exited(0) && !timedOut }
    public var outputText: String { String(decoding: output, as: UTF8.self) }
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
  }

  /// Runs the program to its end.
  ///
  /// A child that leaves processes behind in its group loses them: they get KILL when it ends, so
  /// that nothing it started outlives the answer. A process that left the group is not waited for.
  ///
  /// - Throws: when it cannot be started. What it answers is never an error here.
  public func run() throws(HostError) -> Result {
    let path = try Self.path(of: program)
    switch streams {
    case .inherit: return try runInheriting(path)
    case .capture:
      var run = try CapturedRun(self, path: path)
      return run.finish()
    }
  }

  /// Becomes the program: same process, same terminal, same signals.
  ///
  /// - Throws: when it cannot be started; otherwise this never returns.
  public func replaceProcess() throws(HostError) -> Never {
    let path = try Self.path(of: program)
    if let directory, chdir(directory) != 0 { throw .system(errno, "enter \(directory)") }
    signal(SIGPIPE, SIG_DFL)
    signal(SIGINT, SIG_DFL)
    signal(SIGTERM, SIG_DFL)
    let reason = withVectors { arguments, environment in
      execve(path, arguments, environment)
      return errno
    }
    throw .system(reason, "run \(path)")
  }

  /// Starts the program as a daemon: a session of its own, with init as its parent.
  ///
  /// - Parameter log: an open descriptor for its output and errors.
  /// - Returns: its process id.
  func startDaemon(log: Int32) throws(HostError) -> Int32 {
    let path = try Self.path(of: program)
    var pid: pid_t = 0
    let reason = start(path, input: -1, output: log, errors: log, ownGroup: false) {
      host_spawn_daemon($0, &pid)
    }
    guard reason == 0 else { throw .system(reason, "run \(path)") }
    return pid
  }

  /// The file that a name stands for, looked up in PATH if it has no slash.
  public static func path(of program: String) throws(HostError) -> String {
    if program.contains("/") { return program }
    guard let path = find(program) else {
      throw HostError(.unusable, "no program \(program) in PATH")
    }
    return path
  }

  /// The executable of that name in PATH, or nil.
  public static func find(_ name: String) -> String? {
    let list = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    for directory in list.split(separator: ":") {
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

  /// Waits for a child and takes its status away.
  static func reap(_ pid: pid_t) -> Ending {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    let signalNumber = status & 0x7F
    return signalNumber == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signalNumber)
  }

  /// Lays the call out as C wants it, for as long as `body` runs.
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
