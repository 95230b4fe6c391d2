import Glibc
import Ledger
import Log
import Synchronization
import Threads

/// One call of the program.
struct Bench {
  let arguments: [String]

  func run() throws(OpsError) {
    guard arguments.count >= 2 else { throw Self.usage }
    let target = Session.Target(url: arguments[1], application: "opsledger-bench")
    switch (arguments[0], arguments.count) {
    case ("lay", 2):
      _ = try Installer.run(try Session(target), name: "bench", actor: "cli/bench")
    case ("generate", 3):
      try Generator(target, events: try number(2)).run()
    case ("fold", 2): try Replays.fold(target)
    case ("rebuild", 2): try Replays.rebuild(target)
    case ("verify", 2): try Replays.verify(target)
    case ("append", 6):
      try Appends(
        target: target, withRows: arguments[2] == "row", batch: try number(3),
        writers: try number(4),
        seconds: Double(try number(5))
      ).run()
    case ("cycle", 7):
      try Cycle(
        target: target, workers: try number(2), seconds: Double(try number(3)),
        emitBatch: try number(4), heartbeatBatch: try number(5), workBatch: try number(6)
      ).run()
    case ("work", 5):
      try Work(
        target: target, workers: try number(2), batch: try number(3), steps: try number(4)
      ).run()
    case ("wake", 2): try Wake(target: target).run()
    default: throw Self.usage
    }
  }

  private func number(_ index: Int) throws(OpsError) -> Int {
    guard let number = Int(arguments[index]), number > 0 else { throw Self.usage }
    return number
  }

  private static let usage = OpsError(.badInput, "Sources/Bench/main.swift lists the arguments")
}

func say(_ line: String, to descriptor: Int32 = 1) {
  var text = line + "\n"
  text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
}

/// Runs `body` for 0 to `count - 1` on a thread each, waits for all, and throws the first error.
func onThreads(
  _ count: Int, _ body: @Sendable (Int) throws(OpsError) -> Void
) throws(OpsError) {
  let failure = Mutex<OpsError?>(nil)
  concurrently(count) { index in
    do throws(OpsError) { try body(index) } catch { failure.withLock { $0 = $0 ?? error } }
  }
  if let error = failure.withLock({ $0 }) { throw error }
}

/// The greatest size of this process in memory, in MB.
func peakMegabytes() -> Int {
  var usage = rusage()
  guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
  return Int(usage.ru_maxrss) / 1024
}
