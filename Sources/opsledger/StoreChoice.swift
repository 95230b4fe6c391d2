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

  /// The log as the first of the stores has it; reads nothing yet.
  func storedLog() throws(OpsError) -> StoredLog { StoredLog(try openStores()[0]) }
}

extension Command.Option {
  static let offline = Command.Option(
    name: "offline", help: "from the store alone, with no database")
}
