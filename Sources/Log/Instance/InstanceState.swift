import JSON
public import Ledger
package import Postgres

/// Whether this database is the instance that may record; see `schema/functions/log/instance.sql`.
package enum InstanceState: Equatable {
  /// The instance mark is this database's own.
  case here
  /// There is no instance mark, and nothing is recorded: the schema was just applied.
  case nowhere
  /// The database is a copy, or an old backup put back. If only the timeline differs, the cluster was promoted or
  /// recovered.
  case elsewhere(onlyTimeline: Bool)
  /// The database is a stale copy: a store has entries that it lacks, or a restore has begun and not ended.
  case stale
}

extension InstanceState {
  /// Why the database records nothing; nil if it records.
  var refusal: String? {
    switch self {
    case .here, .nowhere: nil
    case .elsewhere(onlyTimeline: true):
      "this server was promoted: `opsledger archive push` or `opsledger restore` resolves that"
    case .elsewhere(onlyTimeline: false):
      "this database is a copy, or an old backup put back: `opsledger restore` resolves that"
    case .stale:
      "a store has entries that this database lacks: `opsledger restore` brings them back"
    }
  }
}

extension Session {
  package func instanceState() throws(OpsError) -> InstanceState {
    let rows = try readBack(
      Statement(
        """
        SELECT m.mark, CASE WHEN pg_is_in_recovery() THEN true ELSE m.mark = ledger.current_mark() END, EXISTS (
          SELECT FROM generate_series(1, 1000) AS t(line)
          WHERE hashtextextended(
            lpad(upper(to_hex(t.line)), 8, '0'), hashtextextended(ledger.place(), 0)) = m.mark),
          ledger.has_history()
        FROM (SELECT pg_sequence_last_value('ledger.instance_mark') AS mark) AS m
        """))
    return try onDatabase { () throws(PostgresError) in
      guard let mark = try rows.int8IfPresent(0, 0) else {
        return try rows.bool(0, 3) ? .elsewhere(onlyTimeline: false) : .nowhere
      }
      if mark == 0 { return .stale }
      return try rows.bool(0, 1) ? .here : .elsewhere(onlyTimeline: try rows.bool(0, 2))
    }
  }

  /// Whether the cluster was promoted or recovered, and the database is otherwise this instance.
  public func wasPromoted() throws(OpsError) -> Bool {
    try instanceState() == .elsewhere(onlyTimeline: true)
  }

  /// Marks the database as a stale copy: it records nothing until ``adoptInstance(above:)``.
  package func markStale() throws(OpsError) {
    _ = try query(Statement("SELECT ledger.mark_stale()"))
  }

  /// Makes this database the instance that may record. The next entry number is greater than `entry`.
  package func adoptInstance(above entry: Int64) throws(OpsError) {
    try asRepairRole(Statement("SELECT ledger.adopt_instance($1::bigint)"), Parameters(entry))
    try addPartitions()
  }

  /// Makes the next entry number greater than `entry`.
  package func skipNumbers(above entry: Int64) throws(OpsError) {
    try asRepairRole(Statement("SELECT ledger.skip_numbers($1::bigint)"), Parameters(entry))
    try addPartitions()
  }

  func asRepairRole(_ statement: Statement, _ parameters: Parameters = Parameters())
    throws(OpsError)
  {
    try asRepairRole { (connection) throws(OpsError) in
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(statement, parameters)
      }
    }
  }

  /// Runs `body` in a transaction as the repair role, which may write to the log what a restore writes.
  package func asRepairRole(_ body: (Connection) throws(OpsError) -> Void) throws(OpsError) {
    let connection = try connection()
    defer { try? connection.rollbackIfOpen() }
    try onDatabase { () throws(PostgresError) in
      try connection.begin(.readCommitted, "SET LOCAL ROLE opsledger_repair")
    }
    try body(connection)
    try onDatabase { () throws(PostgresError) in try connection.execute("COMMIT") }
  }

  /// Takes new statistics of columns if something was erased, so that the server's samples do not keep it.
  public func forgetStatistics() throws(OpsError) {
    try asRepairRole(Statement("SELECT ledger.forget_statistics()"))
  }

  package func highestEntries() throws(OpsError) -> HighestEntries {
    let rows = try query(
      Statement(
        """
        SELECT coalesce(pg_sequence_last_value('ledger.entry_sequence'), 0),
          coalesce((SELECT max(e.entry) FROM ledger.events AS e), 0), ledger.sealed()
        """))
    return try onDatabase { () throws(PostgresError) in
      HighestEntries(
        allocated: try rows.int8(0, 0), recorded: try rows.int8(0, 1), sealed: try rows.int8(0, 2))
    }
  }

  /// Corrects entry numbers that somebody set back below a sealed or recorded entry, for example by loading a dump's
  /// data. It removes a seal that the numbers cannot have reached, and records the correction.
  ///
  /// - Returns: Nil if the numbers were right.
  package func setNumbersRight(by actor: String) throws(OpsError) -> NumbersSetRight? {
    let highest = try highestEntries()
    let right = NumbersSetRight(
      stoodAt: highest.allocated, falseSeal: highest.isSealFalse ? highest.sealed : nil)
    var above = highest.known
    if highest.isSealFalse {
      try asRepairRole(
        Statement("SELECT ledger.take_seals_off($1::bigint)"), Parameters(highest.sealMax))
      // A true seal may be left, below which the numbers were set back.
      above = try highestEntries().known
    }
    guard highest.isSealFalse || highest.allocated < above else { return nil }
    try skipNumbers(above: above)
    var facts: [String: JSON] = [
      "because": .string(
        right.falseSeal == nil ? "entry numbers were set back" : "a seal was false"),
      "stood_at": .int(right.stoodAt), "go_on_above": .int(above),
    ]
    if let seal = right.falseSeal { facts["false_seal"] = .int(seal) }
    _ = try record(.moved(report: JSON.object(facts).text), by: actor)
    return right
  }
}

public struct NumbersSetRight: Equatable, Sendable {
  public let stoodAt: Int64
  /// The entry of a seal that was removed, because it was too far ahead of the numbers.
  public let falseSeal: Int64?
}

package struct HighestEntries {
  package let allocated: Int64
  package let recorded: Int64
  package let sealed: Int64

  /// The last entry that a seal can have: no log uses half of the remaining numbers before somebody looks.
  var sealMax: Int64 {
    let reached = max(allocated, recorded)
    return reached + (EntryNumber.last - reached) / 2
  }

  var isSealFalse: Bool { sealed > max(sealMax, allocated, recorded) }

  /// Every new entry number must be greater.
  package var known: Int64 { max(allocated, recorded, isSealFalse ? 0 : sealed) }
}
