// The same random histories through the origin's functions and through the engine: equal tables.
//
//   functions-equal-engine [--seeds N] [--commands N] [--first N] [--lanes N] [--few]
//
// Needs OPS_TEST_DATABASE_URL: a superuser's URL of a scratch server. Where a seed's tables differ it is
// played again and compared after each command, to name the one.

import Glibc
import Postgres
import Synchronization
import TestLedgers

func option(_ name: String, _ fallback: Int) -> Int {
  let arguments = CommandLine.arguments
  guard let at = arguments.firstIndex(of: name), at + 1 < arguments.count else { return fallback }
  return Int(arguments[at + 1]) ?? fallback
}

let seeds = option("--seeds", 10_000)
let commands = option("--commands", 60)
let first = option("--first", 1)
let lanes = option("--lanes", 2)
let coverage = Coverage()
let next = Atomic<Int>(first)
let failed = Mutex<[String]>([])

func play(_ game: Game, _ seed: Int) {
  do { return try game.play(UInt64(seed), commands: commands, comparesEach: false) } catch {
    do { try game.play(UInt64(seed), commands: commands, comparesEach: true) } catch {
      return failed.withLock { $0.append("seed \(seed): \(error)") }
    }
    failed.withLock { $0.append("seed \(seed), and not when played again: \(error)") }
  }
}

func runLane() throws {
  while next.load(ordering: .relaxed) < first + seeds, failed.withLock({ $0.isEmpty }) {
    // Databases are thrown away before their dead rows slow them down.
    try TestLedger.with { left in
      try TestLedger.with { right in
        let game = try Game(left, right, coverage)
        for _ in 0..<50 {
          let seed = next.add(1, ordering: .relaxed).oldValue
          guard seed < first + seeds, failed.withLock({ $0.isEmpty }) else { break }
          play(game, seed)
          if seed % 500 == 0 {
            print("seed \(seed)")
            fflush(nil)
          }
        }
        try game.verify()
      }
    }
  }
}

do {
  guard TestServer.url != nil else { throw TestFailure(TestServer.missing) }
  _ = try atOnce(lanes) { _ in try runLane() }
  for failure in failed.withLock({ $0 }) { print("UNTRUE: \(failure)") }
  if !failed.withLock({ $0.isEmpty }) { exit(1) }
  print("\(seeds) histories of \(commands) commands: equal tables. Transitions made:")
  let missing = coverage.report(least: 100)
  // A few seeds cannot be expected to make all.
  let isEnough = missing.isEmpty || CommandLine.arguments.contains("--few")
  for name in missing {
    print("\(isEnough ? "of so few seeds" : "UNTRUE"): \(name) less than 100 times")
  }
  exit(isEnough ? 0 : 1)
} catch {
  print("UNTRUE: \(error)")
  exit(1)
}
