import Glibc
import TestSupport
import Testing

@testable import Host

@Suite("another program")
struct SubprocessTests {
  @Test("output, errors and the ending come back apart")
  func capture() throws {
    let result = try Subprocess("sh", ["-c", "echo out; echo err >&2; exit 3"]).run()
    #expect(result.outputText == "out\n")
    #expect(result.errorText == "err\n")
    #expect(result.ending == .exited(3))
    #expect(!result.succeeded)
  }

  @Test("arguments reach it as they are: no shell reads them")
  func arguments() throws {
    let odd = ["", "a b", "$(echo x)", "'\"\\", "*", "line\nline"]
    let result = try Subprocess("printf", ["%s|"] + odd).run()
    #expect(result.outputText == odd.map { $0 + "|" }.joined())
  }

  @Test("it reads its input, and may leave it unread")
  func input() throws {
    let large = [UInt8](repeating: 65, count: 300_000)
    let echoed = try Subprocess("cat", input: large).run()
    #expect(echoed.output == large)
    #expect(try Subprocess("true", input: large).run().succeeded)
  }

  @Test("more output than is kept is drained, not stored")
  func cap() throws {
    var command = Subprocess("head", ["-c", "5000000", "/dev/zero"])
    command.outputBytesMax = 1000
    let result = try command.run()
    #expect(result.succeeded)
    #expect(result.output.count == 1000)
    #expect(result.truncated)
  }

  @Test("a timeout ends it and all it started, also what ignores TERM")
  func timeout() throws {
    try withTemporaryDirectory { directory in
      let script = "trap '' TERM; (trap '' TERM; sleep 3600) & echo $! > pid; wait; sleep 3600"
      let (result, child) = try patiently(from: 0.3) { seconds in
        var command = Subprocess(
          "sh", ["-c", script], directory: directory, timeoutMillis: Int(seconds * 1000))
        command.graceMillis = 200
        let result = try command.run()
        // It may have ended before it came so far.
        let pid = try FileSystem.readText(directory + "/pid").dropLast()
        return (result, try #require(Int32(pid)))
      }
      #expect(result.timedOut)
      #expect(result.ending == .signalled(SIGKILL))
      try waitUntil("its child has ended") { !ServerProcess.isAlive(child) }
    }
  }

  @Test("a child that it leaves behind is not waited for, and does not outlive it")
  func straggler() throws {
    let result = try Subprocess("sh", ["-c", "sleep 3600 & echo $!"]).run()
    #expect(result.succeeded)
    #expect(result.elapsedMillis < 3_600_000)
    let child = try #require(Int32(result.outputText.dropLast()))
    try waitUntil("its child has ended") { !ServerProcess.isAlive(child) }
  }

  @Test("none of our files reaches it, and its signals are as a shell would set them")
  func clean() throws {
    signal(SIGPIPE, SIG_IGN)
    let file = open("/dev/null", O_RDONLY)  // Not close-on-exec.
    defer { close(file) }
    let files = try Subprocess("ls", ["/proc/self/fd"]).run()
    #expect(files.outputText == "0\n1\n2\n3\n")  // 3 is the directory that ls reads.
    let status = try Subprocess("grep", ["SigIgn", "/proc/self/status"]).run()
    // Of the 31 that have names; glibc keeps two above them for itself.
    let ignored = UInt64(status.outputText.split(separator: "\t")[1].dropLast(), radix: 16)
    #expect(ignored.map { $0 & 0x7FFF_FFFF } == 0)
  }

  @Test("the environment is ours, or exactly the one given")
  func environment() throws {
    let given = try Subprocess("env", environment: ["A": "1"]).run()
    #expect(given.outputText == "A=1\n")
  }

  @Test("what is not there is an error that names it")
  func missing() throws {
    #expect(throws: HostError(.unusable, "the program opsledger-none is not in PATH")) {
      try Subprocess("opsledger-none").run()
    }
    #expect(throws: HostError.self) { try Subprocess("/none/here").run() }
    #expect(throws: HostError.self) { try Subprocess("true", directory: "/none").run() }
  }

  @Test("a daemon is nobody's child, and one that cannot start is an error")
  func daemon() throws {
    let null = open("/dev/null", O_WRONLY)
    defer { close(null) }
    let pid = try Subprocess("sleep", ["60"]).startDaemon(log: null)
    #expect(ServerProcess.isAlive(pid))
    var status: Int32 = 0
    #expect(waitpid(pid, &status, WNOHANG) == -1)
    #expect(getsid(pid) != getsid(0))
    kill(pid, SIGKILL)
    #expect(throws: HostError.self) { try Subprocess("/none/here").startDaemon(log: null) }
  }
}
