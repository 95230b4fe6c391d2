public import Ledger

extension Session {
  /// Hands over every event that has left the database, in the order of the log, each good until the next.
  ///
  /// - Returns: False where none has.
  /// - Throws: `OPS_001` where no store is at hand.
  public func eachArchived(
    _ body: (EventLine) throws(OpsError) -> Void
  ) throws(OpsError) -> Bool {
    guard let archivedPart = try ArchivedPart(target, on: connection()) else { return false }
    try archivedPart.log().events(ArchivedQuery(0...archivedPart.last)) {
      (event) throws(OpsError) in
      try body(event)
      return true
    }
    return true
  }
}
