public import Ledger
import Postgres

/// Since when the loop takes nothing new, and who said so.
public struct Halt: Equatable, Sendable {
  public var since: Instant
  public var by: String
}

extension Session {
  private static let lastChange = Statement(
    """
    SELECT recorded_at, actor FROM ledger.events
    WHERE stream = $1::uuid ORDER BY version DESC LIMIT 1
    """)

  /// The last change of policy `loop`, from the log; nil where it never had one.
  public func lastChange(ofPolicy key: String) throws(OpsError) -> Halt? {
    var parameters = Parameters()
    parameters.uuid(.policy(key))
    let rows = try query(Self.lastChange, parameters)
    guard rows.count == 1 else { return nil }
    return try onDatabase { () throws(PostgresError) in
      Halt(since: Instant(micros: try rows.timestamptz(0, 0)), by: try rows.text(0, 1))
    }
  }
}
