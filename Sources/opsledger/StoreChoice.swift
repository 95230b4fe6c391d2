import Archive
import Ledger

extension Invocation {
  /// The stores that were named, opened.
  ///
  /// - Throws: `OPS_001` where none was.
  func openStores() throws(OpsError) -> [any ObjectStore] {
    let places = try stores()
    guard !places.isEmpty else {
      throw OpsError(
        .databaseUnreachable, "no store", hint: "name one: --store DIR, or OPS_STORE")
    }
    return places.map { DirectoryStore($0) }
  }
}
