public import Ledger

extension Session {
  /// Hands over every event that has left the database, in the order of the log, each good until the next.
  ///
  /// - Returns: False where none has.
  /// - Throws: `OPS_001` where no store is at hand.
  public func eachDeparted(
    _ body: (EventLine) throws(OpsError) -> Void
  ) throws(OpsError) -> Bool {
    guard let departed = try Departed(target, on: connection()) else { return false }
    try departed.log().events(ColdQuery(0...departed.last)) { (event) throws(OpsError) in
      try body(event)
      return true
    }
    return true
  }
}
