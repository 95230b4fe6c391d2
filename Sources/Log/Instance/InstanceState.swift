import JSON
public import Ledger
package import Postgres

/// Whether this database is the one in which the ledger was settled; see `schema/functions/log/instance.sql`.
package enum InstanceState: Equatable {
  /// It is.
  case here
  /// Nobody has settled anywhere, and nothing is recorded: the schema was just laid.
  case nowhere
  /// It is a copy, also one without a mark, or an old one put back. Where only the timeline is another, the cluster was
  /// promoted or recovered.
  case elsewhere(onlyTimeline: Bool)
  /// The store was seen to hold what this database lacks, or a restore was begun.
  case stale
}

extension InstanceState {
  /// Why nothing is recorded there, where that is so.
  var refusal: String? {
    switch self {
    case .here, .nowhere: nil
    case .elsewhere(onlyTimeline: true): "this server was promoted: push or restore settles that"
    case .elsewhere(onlyTimeline: false):
      "this is a copy, or an old one put back: restore settles that"
    case .stale: "the store has what this database lacks: restore brings it back"
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

  /// Whether the cluster was promoted or recovered, and nothing else happened to the database.
  public func wasPromoted() throws(OpsError) -> Bool {
    try instanceState() == .elsewhere(onlyTimeline: true)
  }

  /// Stops everything that would be recorded here until ``adoptInstance(above:)``.
  package func markStale() throws(OpsError) {
    _ = try query(Statement("SELECT ledger.mark_stale()"))
  }

  /// Makes this database the one in which the ledger lives; its next number is greater than `entry`.
  package func adoptInstance(above entry: Int64) throws(OpsError) {
    try asRepairRole(Statement("SELECT ledger.adopt_instance($1::bigint)"), entry)
  }

  /// The next number drawn here is greater than `entry`.
  package func skipNumbers(above entry: Int64) throws(OpsError) {
    try asRepairRole(Statement("SELECT ledger.skip_numbers($1::bigint)"), entry)
  }

  private func asRepairRole(_ statement: Statement, _ entry: Int64) throws(OpsError) {
    var parameters = Parameters()
    parameters.int8(entry)
    try asRepairRole { (connection) throws(OpsError) in
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(statement, parameters)
      }
    }
    try addPartitions()
  }

  /// Runs `body` in a transaction as `opsledger_repair`, whose writes to the log are those of a restore.
  package func asRepairRole(
    _ body: (Connection) throws(OpsError) -> Void
  ) throws(OpsError) {
    let connection = try connection()
    defer { try? connection.rollbackIfOpen() }
    try onDatabase { () throws(PostgresError) in
      try connection.begin(.readCommitted, "SET LOCAL ROLE opsledger_repair")
    }
    try body(connection)
    try onDatabase { () throws(PostgresError) in try connection.execute("COMMIT") }
  }

  /// Takes the server's samples of columns anew, so that none has what was erased; does nothing where nothing was.
  public func forgetStatistics() throws(OpsError) {
    try asRepairRole { (connection) throws(OpsError) in
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(Statement("SELECT ledger.forget_statistics()"))
      }
    }
  }

  /// The greatest number that was drawn here, and the greatest that is recorded; of these and the last seal the
  /// greatest.
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

  /// Sets entry numbers right where somebody set them back below what is sealed or recorded (a dump's data that was
  /// loaded again does), takes a seal off that they cannot have reached, and records that.
  ///
  /// - Returns: Nil where they were right.
  package func setNumbersRight(by actor: String) throws(OpsError) -> NumbersSetRight? {
    let highest = try highestEntries()
    let right = NumbersSetRight(
      stoodAt: highest.allocated, falseSeal: highest.isSealFalse ? highest.sealed : nil)
    var above = highest.known
    if highest.isSealFalse {
      try asRepairRole(Statement("SELECT ledger.take_seals_off($1::bigint)"), highest.sealMax)
      // A true one may be left, which they were set back below.
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

/// What was wrong with a database's entry numbers.
public struct NumbersSetRight: Equatable, Sendable {
  public let stoodAt: Int64
  /// A seal so far ahead of them that it was taken off.
  public let falseSeal: Int64?
}

/// How far a database's entries go.
package struct HighestEntries {
  package let allocated: Int64
  package let recorded: Int64
  package let sealed: Int64

  /// The last entry that a seal can have: no log uses up half of the numbers that are left before anybody looks.
  var sealMax: Int64 {
    let reached = max(allocated, recorded)
    return reached + (EntryNumber.last - reached) / 2
  }

  var isSealFalse: Bool { sealed > max(sealMax, allocated, recorded) }

  /// All that is drawn from now on must be greater.
  package var known: Int64 { max(allocated, recorded, isSealFalse ? 0 : sealed) }
}
