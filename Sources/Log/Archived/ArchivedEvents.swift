public import Ledger

extension Session {
  /// Calls `body` with every archived event, in the order of the log. An event is valid until the next.
  ///
  /// - Returns: False if no part of the log is archived.
  /// - Throws: `OPS_001` if no store is available.
  public func eachArchived(_ body: (EventLine) throws(OpsError) -> Void) throws(OpsError) -> Bool {
    guard let archivedPart = try ArchivedPart(target, on: connection()) else { return false }
    try archivedPart.events(ArchivedQuery(0...archivedPart.last), body)
    return true
  }
}
