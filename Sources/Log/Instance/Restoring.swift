import JSON
public import Ledger
import Postgres

/// What a restore does to the log; nothing else puts an event there that it did not draw.
extension Session {
  /// The identity of the ledger whose log this is, of the line of history that it is on now; nil where it has none.
  package func ledgerIdentity() throws(OpsError) -> StreamID? {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    let rows = try query(
      Statement(
        """
        SELECT coalesce((
          SELECT (e.data ->> 'identity')::uuid FROM ledger.events_in_database AS e
          WHERE e.stream = $1::uuid
            AND e.type IN ('\(LedgerRecord.eventType(.created))', '\(LedgerRecord.eventType(.forked))')
            AND e.data ->> 'identity' IS NOT NULL ORDER BY e.version DESC LIMIT 1),
          (SELECT l.identity FROM ledger.ledger AS l WHERE l.key = 'main'))
        """), parameters)
    return try onDatabase { () throws(PostgresError) in
      try rows.uuidIfPresent(0, 0).map { StreamID($0) }
    }
  }

  /// The last entry that has left the database; 0 where none has.
  package func lastArchived() throws(OpsError) -> Int64 {
    let rows = try query(
      Statement("SELECT coalesce(max(d.last), 0) FROM ledger.confirmed_archived_partitions() AS d"))
    return try onDatabase { () throws(PostgresError) in try rows.int8(0, 0) }
  }

  /// The last entry that has left the database, and the root there; nil where none has.
  package func archivedRoot() throws(OpsError) -> (last: Int64, root: [UInt8])? {
    let rows = try query(
      Statement(
        """
        SELECT d.last, d.root FROM ledger.confirmed_archived_partitions() AS d ORDER BY d.last DESC LIMIT 1
        """))
    guard rows.count == 1 else { return nil }
    return try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.bytea(0, 1))
    }
  }

  /// What the last restore that lost something could not bring back.
  package func lostEntries() throws(OpsError) -> ClosedRange<Int64>? {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    let rows = try query(
      Statement(
        """
        SELECT (e.data #>> '{report,lost,first}')::bigint, (e.data #>> '{report,lost,last}')::bigint
        FROM ledger.events_in_database AS e
        WHERE e.stream = $1::uuid AND e.type = '\(LedgerRecord.eventType(.restored))'
          AND e.data #> '{report,lost}' IS NOT NULL
        ORDER BY e.version DESC LIMIT 1
        """), parameters)
    guard rows.count == 1 else { return nil }
    let (first, last) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.int8(0, 1))
    }
    return first <= last ? first...last : nil
  }

  /// Makes the partitions that hold these entries.
  package func havePartitions(of entries: [Int64]) throws(OpsError) {
    var array = ArrayBuilder(.int8)
    for entry in entries { array.int8(entry) }
    var parameters = Parameters()
    parameters.array(array)
    try asRepairRole { (connection) throws(OpsError) in
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(
          Statement("SELECT ledger.have_partitions($1::bigint[])"), parameters)
      }
    }
  }

  /// Settles a ledger here that no store is kept of.
  ///
  /// - Returns: The entry that records it; nil where it lives here already.
  /// - Throws: `OPS_015` where a store was seen to have what this database lacks.
  public func adoptWithoutStore(why: String, by actor: String) throws(OpsError) -> Int64? {
    switch try instanceState() {
    case .here: return nil
    case .stale:
      throw OpsError(
        store: .diverged, "a store has what this database lacks, or a restore was cut short",
        hint: "name the store: --store; or let this database go on in a new one, "
          + "`opsledger archive fork`")
    case .nowhere, .elsewhere: break
    }
    try adoptInstance(above: try EntryNumber.jumped(over: try highestEntries().known))
    return try record(.moved(report: #"{"because": "no store"}"#, why: why), by: actor)
  }

  /// Records an event of the ledger's own.
  ///
  /// - Returns: Its entry.
  package func record(
    _ event: LedgerRecord.Event, by actor: String
  ) throws(OpsError) -> Int64? {
    let lock = Statement(
      "SELECT \(LedgerRecord.select("l")) FROM ledger.ledger AS l WHERE l.key = 'main' FOR UPDATE")
    var reads = Reads()
    let own = reads.rows(of: LedgerRecord.self, lock)
    let command = Command(reads) { (found, draft) throws(OpsError) in
      if let row = try found[own].first { try draft.load(row, as: .ledger) }
      draft.append(event, of: LedgerRecord.self, to: .ledger)
    }
    return try perform(CommandKey(id: newCommandID(), actor: actor), command).entry
  }
}
