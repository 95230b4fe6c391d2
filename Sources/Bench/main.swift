import Glibc
import Ledger
import Log

// Measures one thing and prints one line, which tools/bench compares with a minimum.
//
//   opsledger-bench lay URL                            applies the schema and the seeds
//   opsledger-bench generate URL EVENTS                writes a log of about so many events, and its rows
//   opsledger-bench fold|rebuild|verify URL            seconds, events, rows, peak memory
//   opsledger-bench append URL event|row N WRITERS SECONDS
//                                                      transactions a second, each of N events
//   opsledger-bench cycle URL WORKERS SECONDS EMIT BEAT WORK
//                                                      whole cycles a second, in batches of these sizes
//   opsledger-bench work URL WORKERS BATCH STEPS       steps a second: claims and completions only
//   opsledger-bench wake URL                           how soon a waiting worker starts, what waiting costs
do throws(OpsError) {
  try Bench(arguments: Array(CommandLine.arguments.dropFirst())).run()
} catch {
  say("error \(error)", to: 2)
  exit(1)
}
