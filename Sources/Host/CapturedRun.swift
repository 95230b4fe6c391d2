import CHost
import Glibc

/// One run of a child process whose streams are pipes.
struct CapturedRun {
  /// The read end of a pipe from the child, and the bytes that have come through it.
  private struct Drain {
    var file: Int32
    var kept: [UInt8] = []
    var truncated = false
  }

  private let watch = Stopwatch()
  private let pid: pid_t
  private let processDescriptor: Int32
  private let timeoutMillis: Int?
  private let graceMillis: Int
  private let stop: StopSignal?
  private let bytesMax: Int
  private var input: [UInt8]
  private var inputFile: Int32
  private var drains: [Drain]
  private var timedOut = false
  private var killAtMillis: Int?

  init(_ command: Subprocess, path: String) throws(HostError) {
    signal(SIGPIPE, SIG_IGN)  // A child may end before it has read its input.
    let pipes = try Self.pipes(3)
    var child: pid_t = 0
    let reason = command.start(
      path, input: pipes[0].read, output: pipes[1].write, errors: pipes[2].write, ownGroup: true
    ) { host_spawn($0, &child) }
    for file in [pipes[0].read, pipes[1].write, pipes[2].write] { close(file) }
    let ours = [pipes[0].write, pipes[1].read, pipes[2].read]
    guard reason == 0 else {
      for file in ours { close(file) }
      throw .system(reason, "run \(path)")
    }
    for file in ours { _ = fcntl(file, F_SETFL, O_NONBLOCK) }
    pid = child
    processDescriptor = host_process_descriptor(child)
    timeoutMillis = command.timeoutMillis
    graceMillis = command.graceMillis
    stop = command.stop
    bytesMax = command.outputBytesMax
    input = command.input
    inputFile = ours[0]
    drains = [Drain(file: ours[1]), Drain(file: ours[2])]
  }

  /// Waits until the child has ended, then reads the rest of the pipes.
  mutating func finish() -> Subprocess.Result {
    feed()
    while host_has_ended(pid) == 0 {
      enforceTimeout()
      waitForSomething()
      feed()
      drain()
    }
    let elapsedMillis = watch.elapsedMillis
    drain()
    // Before the child is reaped: after that, its number may belong to another process.
    killpg(pid, SIGKILL)
    let ending = Subprocess.reap(pid)
    closeAll()
    return Subprocess.Result(
      ending: ending, timedOut: timedOut, output: drains[0].kept, errors: drains[1].kept,
      truncated: drains.contains { $0.truncated }, elapsedMillis: elapsedMillis)
  }

  private mutating func enforceTimeout() {
    let now = watch.elapsedMillis
    if let killAtMillis {
      if now >= killAtMillis { killpg(pid, SIGKILL) }
    } else if timeoutMillis.map({ now >= $0 }) ?? false || stop?.isRaised ?? false {
      timedOut = true
      killAtMillis = now + graceMillis
      killpg(pid, SIGTERM)
    }
  }

  private func waitForSomething() {
    var waits: [pollfd] = []
    for drain in drains where drain.file >= 0 {
      waits.append(pollfd(fd: drain.file, events: Int16(POLLIN), revents: 0))
    }
    if inputFile >= 0 {
      waits.append(pollfd(fd: inputFile, events: Int16(POLLOUT), revents: 0))
    }
    if processDescriptor >= 0 {
      waits.append(pollfd(fd: processDescriptor, events: Int16(POLLIN), revents: 0))
    }
    var waitMillis = processDescriptor >= 0 ? 1000 : 10
    if stop != nil { waitMillis = min(waitMillis, 50) }
    if let next = killAtMillis ?? timeoutMillis {
      waitMillis = min(waitMillis, max(1, next - watch.elapsedMillis))
    }
    poll(&waits, nfds_t(waits.count), Int32(waitMillis))
  }

  private mutating func feed() {
    guard inputFile >= 0 else { return }
    while !input.isEmpty {
      let count = input.withUnsafeBytes { write(inputFile, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count < 0 && errno == EAGAIN { return }
      guard count > 0 else { break }  // The child closed its standard input.
      input.removeFirst(count)
    }
    close(inputFile)
    inputFile = -1
  }

  /// Reads until the pipes are empty. Bytes beyond `bytesMax` are discarded, so that the child is not blocked.
  private mutating func drain() {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    for index in drains.indices where drains[index].file >= 0 {
      // Limited, since a process that never stops writing must not delay the timeout or the end. A pipe holds at most
      // sixteen chunks.
      for _ in 0..<16 {
        let count = read(drains[index].file, &chunk, chunk.count)
        if count < 0 && errno == EINTR { continue }
        if count < 0 && errno == EAGAIN { break }
        guard count > 0 else {
          close(drains[index].file)
          drains[index].file = -1
          break
        }
        let room = bytesMax - drains[index].kept.count
        drains[index].kept += chunk[..<min(count, room)]
        if count > room { drains[index].truncated = true }
      }
    }
  }

  private func closeAll() {
    for file in drains.map(\.file) + [inputFile, processDescriptor] where file >= 0 { close(file) }
  }

  private static func pipes(_ count: Int) throws(HostError) -> [(read: Int32, write: Int32)] {
    var pipes: [(read: Int32, write: Int32)] = []
    for _ in 0..<count {
      var ends: [Int32] = [-1, -1]
      let reason = host_pipe(&ends)
      guard reason == 0 else {
        for pipe in pipes {
          close(pipe.read)
          close(pipe.write)
        }
        throw .system(reason, "make a pipe")
      }
      pipes.append((ends[0], ends[1]))
    }
    return pipes
  }
}
