public import Ledger
import Postgres

/// Since when the loop takes nothing new, and who said so.
public struct Halt: Equatable, Sendable {
  public var since: Instant
  public var by: String
  /// Whether the policy's row is of the version that the event made.
  public var isCurrent: Bool
}

extension Session {
  private static let lastChange = Statement(
    """
    SELECT e.recorded_at, e.actor, coalesce(p.version = e.version AND p.value::text
      = (e.data->'value')::jsonb::text, false)
    FROM ledger.events_at_hand AS e LEFT JOIN ops_policy AS p ON p.key = $2::text
    WHERE e.stream = $1::uuid ORDER BY e.version DESC LIMIT 1
    """)

  /// The last change of policy `loop`, from the log; nil where it never had one.
  public func lastChange(ofPolicy key: String) throws(OpsError) -> Halt? {
    var parameters = Parameters()
    parameters.uuid(.policy(key))
    parameters.text(key)
    let rows = try query(Self.lastChange, parameters)
    guard rows.count == 1 else { return nil }
    return try onDatabase { () throws(PostgresError) in
      Halt(
        since: Instant(micros: try rows.timestamptz(0, 0)), by: try rows.text(0, 1),
        isCurrent: try rows.bool(0, 2))
    }
  }
}
