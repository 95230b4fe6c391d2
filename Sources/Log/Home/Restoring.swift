import JSON
package import Ledger
package import Postgres

/// What a restore does to the log; nothing else puts an event there that it did not draw.
extension Session {
  /// The identity of the ledger whose log this is, by its first event; nil where it has none.
  package func ledgerIdentity() throws(OpsError) -> StreamID? {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    let rows = try query(
      Statement(
        """
        SELECT (e.data ->> 'identity')::uuid FROM ledger.events_at_hand AS e
        WHERE e.stream = $1::uuid AND e.type = 'ledger.created' ORDER BY e.entry LIMIT 1
        """), parameters)
    return try rows.ids().first
  }

  /// What the last restore that lost something could not bring back.
  package func lostEntries() throws(OpsError) -> ClosedRange<Int64>? {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    let rows = try query(
      Statement(
        """
        SELECT (e.data #>> '{report,lost,first}')::bigint, (e.data #>> '{report,lost,last}')::bigint
        FROM ledger.events AS e
        WHERE e.stream = $1::uuid AND e.type = 'ledger.restored'
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
    try asKeeper { (connection) throws(OpsError) in
      _ = try onDatabase { () throws(PostgresError) in
        try connection.query(
          Statement("SELECT ledger.have_partitions($1::bigint[])"), parameters)
      }
    }
  }

  /// Runs `body`, which puts events of these entries back, in a transaction that makes their command keys and
  /// tombstones again.
  package func restoring(
    _ entries: ClosedRange<Int64>, _ body: (Connection) throws(OpsError) -> Void
  ) throws(OpsError) {
    try asKeeper { (connection) throws(OpsError) in
      try body(connection)
      try Books.restore(entries, on: connection)
    }
  }

  /// Records an event of the ledger's own.
  ///
  /// - Returns: Its entry.
  package func record(
    _ event: LedgerRecord.Event, by actor: String
  ) throws(OpsError) -> Int64? {
    let lock = Statement(
      "SELECT \(LedgerRecord.select("l")) FROM ledger.ledger AS l WHERE l.key = 'main' FOR UPDATE")
    let command = Command(load: [(lock, Parameters())]) { (answers, draft) throws(OpsError) in
      if let row = try answers[0].rows(of: LedgerRecord.self).first {
        try draft.load(row, as: .ledger)
      }
      draft.append(event, of: LedgerRecord.self, to: .ledger)
      return .null
    }
    return try perform(CommandKey(id: newCommandID(), actor: actor), command).entry
  }
}
