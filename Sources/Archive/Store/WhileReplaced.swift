import Glibc
import Ledger

/// Reads many files of stores, and begins again if a push removed some meanwhile: it merges segments, and writes files
/// again without erased content.
///
/// - Parameters:
///   - again: Called before each new attempt.
///   - read: Returns an answer, and whether nothing was missing or damaged.
/// - Returns: The first answer that is fine, or during which no file was removed; after 20 attempts the last one.
func readingWhole<Answer>(
  _ stores: [any ObjectStore], _ again: () -> Void = {},
  _ read: () throws(OpsError) -> (Answer, isFine: Bool)
) throws(OpsError) -> Answer {
  var attempt = 0
  while true {
    let before = names(stores)
    let result = Result { () throws(OpsError) in try read() }
    switch result {
    case .success((let answer, isFine: true)): return answer
    case .success: break
    case .failure(let error):
      guard error.code == .notFound || error.code == .storeDiverged else { throw error }
    }
    attempt += 1
    guard attempt < attemptsMax, let before, let after = names(stores), !before.isSubset(of: after)
    else { return try result.get().0 }
    again()
    // A merge removes its files one after the other.
    usleep(UInt32(attempt) * 20_000)
  }
}

private let attemptsMax = 20

/// The names of all files; nil if a store is unreachable.
private func names(_ stores: [any ObjectStore]) -> Set<String>? {
  var found: Set<String> = []
  for store in stores {
    do throws(OpsError) {
      for file in try store.list(SegmentName.folder) + store.list(SnapshotName.folder) {
        found.insert("\(store.place) \(file.name)")
      }
    } catch { return nil }
  }
  return found
}
