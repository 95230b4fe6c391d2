// Damages each file of a small store in every way: each bit flipped, cut at each length, missing, under another's
// name, in place of another, of another ledger, of an earlier generation. `archive verify` must name the file, and
// what a restore reads of it must be a part of what was stored, never anything else.
//
//   store-damage STORE FOREIGN [EVERY]
//
// STORE and FOREIGN are directories of two ledgers. EVERY is how many bytes lie between two that are damaged.

import Archive
import Glibc
import Ledger

do {
  let arguments = CommandLine.arguments
  guard arguments.count >= 3, let every = Int(arguments.count > 3 ? arguments[3] : "1"), every > 0
  else {
    print("usage: store-damage STORE FOREIGN [EVERY]")
    exit(2)
  }
  var trial = try Trial(
    try FilesInMemory(DirectoryStore(arguments[1])), try FilesInMemory(DirectoryStore(arguments[2]))
  )
  try trial.bits(every)
  try trial.cuts(every)
  try trial.wholeFiles()
  exit(trial.end() ? 0 : 1)
} catch {
  print("\(error)")
  exit(1)
}
