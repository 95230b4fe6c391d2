// Random commands from several workers, some of them interrupted at any statement; after each seed the
// tables equal the replay, and every rule of the loop has held.
//
//   random-histories [--seeds N] [--commands N] [--first N] [--lanes N] [--few]
//
// Needs OPS_TEST_DATABASE_URL: a superuser's URL of a scratch server with a unix socket. Seed N alone is
// `--first N --seeds 1`: an even one plays the same commands in the same order again, of an odd one each
// worker's commands are the same. Ids are random, and with them the order of what is equally due.

import Dispatch
import Glibc
import Postgres
import Synchronization
import TestLedgers

func option(_ name: String, _ fallback: Int) -> Int {
  let arguments = CommandLine.arguments
  guard let at = arguments.firstIndex(of: name), at + 1 < arguments.count else { return fallback }
  return Int(arguments[at + 1]) ?? fallback
}

let seeds = option("--seeds", 5000)
let commands = option("--commands", 200)
let first = option("--first", 1)
let lanes = option("--lanes", 2)
let pairs = Pairs()
let next = Atomic<Int>(first)
let failed = Mutex<[String]>([])
let began = monotonicSeconds()

func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

func runLane(_ serverDirectory: String) throws {
  while next.load(ordering: .relaxed) < first + seeds, failed.withLock({ $0.isEmpty }) {
    // A database is thrown away before its dead rows slow it down.
    try TestLedger.with { ledger in
      let lane = try Lane(ledger, serverDirectory: serverDirectory, pairs: pairs)
      defer { lane.end() }
      for _ in 0..<50 {
        let seed = next.add(1, ordering: .relaxed).oldValue
        guard seed < first + seeds, failed.withLock({ $0.isEmpty }) else { return }
        do {
          try lane.play(UInt64(seed), commands: commands)
        } catch {
          failed.withLock { $0.append("seed \(seed): \(error)") }
          return
        }
        if seed % 50 == 0 {
          print("seed \(seed), \(Int(monotonicSeconds() - began)) s")
          fflush(nil)
        }
      }
    }
  }
}

do {
  guard let url = TestServer.url else { throw TestFailure(TestServer.missing) }
  let directory = try Connection(url: url).host
  guard directory.hasPrefix("/") else { throw TestFailure("the server is not on a unix socket") }
  _ = try atOnce(lanes) { _ in try runLane(directory) }
  let seconds = monotonicSeconds() - began
  for failure in failed.withLock({ $0 }) { print("UNTRUE: \(failure)") }
  if !failed.withLock({ $0.isEmpty }) { exit(1) }
  print("\(seeds) seeds of \(commands) commands by \(Lane.players) workers in \(Int(seconds)) s")
  let missing = pairs.report()
  // A few seeds cannot be expected to meet every pair.
  let isEnough = missing.isEmpty || CommandLine.arguments.contains("--few")
  for pair in missing { print("\(isEnough ? "of so few seeds" : "UNTRUE"): \(pair)") }
  exit(isEnough ? 0 : 1)
} catch {
  print("UNTRUE: \(error)")
  exit(1)
}
