import JSON
public import Ledger
import Postgres

/// What a restore does to the log. Only a restore writes events under numbers that it did not allocate.
extension Session {
  /// The identity of the ledger, since its last fork; nil if the database has no ledger.
  package func ledgerIdentity() throws(OpsError) -> StreamID? {
    let rows = try query(
      Statement(
        """
        SELECT coalesce((
          SELECT (e.data ->> 'identity')::uuid FROM ledger.events_in_database AS e
          WHERE e.stream = $1::uuid
            AND e.type IN ('\(LedgerRecord.eventType(.created))', '\(LedgerRecord.eventType(.forked))')
            AND e.data ->> 'identity' IS NOT NULL ORDER BY e.version DESC LIMIT 1),
          (SELECT l.identity FROM ledger.ledger AS l WHERE l.key = 'main'))
        """), Parameters(.ledger))
    return try rows.ids().first
  }

  /// The last archived entry; 0 if none is.
  package func lastArchived() throws(OpsError) -> Int64 { try archivedRoot()?.last ?? 0 }

  /// The last archived entry, and the tree's root there; nil if none is.
  package func archivedRoot() throws(OpsError) -> (last: Int64, root: [UInt8])? {
    try ArchivedPart(target, on: connection()).map { ($0.last, $0.root) }
  }

  /// The entries that a restore could not bring back: of the last restore that lost some.
  package func lostEntries() throws(OpsError) -> ClosedRange<Int64>? {
    let rows = try query(
      Statement(
        """
        SELECT (e.data #>> '{report,lost,first}')::bigint, (e.data #>> '{report,lost,last}')::bigint
        FROM ledger.events_in_database AS e
        WHERE e.stream = $1::uuid AND e.type = '\(LedgerRecord.eventType(.restored))'
          AND e.data #> '{report,lost}' IS NOT NULL
        ORDER BY e.version DESC LIMIT 1
        """), Parameters(.ledger))
    guard rows.count == 1 else { return nil }
    let (first, last) = try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), try rows.int8(0, 1))
    }
    return first <= last ? first...last : nil
  }

  /// Makes the partitions that hold these entries.
  package func havePartitions(of entries: [Int64]) throws(OpsError) {
    var parameters = Parameters()
    parameters.int8s(entries)
    try asRepairRole(Statement("SELECT ledger.have_partitions($1::bigint[])"), parameters)
  }

  /// Makes this database the instance that may record, for a ledger without a store.
  ///
  /// - Returns: The entry that records this; nil if the database was that instance before.
  /// - Throws: `OPS_015` if the database is a stale copy of a store.
  public func adoptWithoutStore(why: String, by actor: String) throws(OpsError) -> Int64? {
    switch try instanceState() {
    case .here: return nil
    case .stale:
      throw OpsError(
        store: .diverged,
        "a store has entries that this database lacks, or a restore was interrupted",
        hint: "name the store with --store; or let this database continue with a new store: "
          + "`opsledger archive fork`")
    case .nowhere, .elsewhere: break
    }
    try adoptInstance(above: try EntryNumber.jumped(over: try highestEntries().known))
    return try record(.moved(report: #"{"because": "no store"}"#, why: why), by: actor)
  }

  /// Records an event of the ledger's own stream.
  ///
  /// - Returns: Its entry.
  package func record(_ event: LedgerRecord.Event, by actor: String) throws(OpsError) -> Int64? {
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
