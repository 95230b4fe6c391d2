import Crypto
import JSON
import Ledger
import Log
import Postgres

/// Writes the bookkeeping tables: idempotency keys, tombstones, erasures, copies of archived events.
enum Bookkeeping {
  /// Adds the rows that follow from the events of these entries.
  ///
  /// - Parameter connection: Has the repair role.
  static func make(
    _ entries: ClosedRange<Int64>, on connection: Connection
  ) throws(OpsError) {
    _ = try onDatabase { () throws(PostgresError) in
      try connection.query(
        Statement("SELECT ledger.make_bookkeeping($1::bigint, $2::bigint)"), Parameters(entries))
    }
  }

  /// Corrects the number of events that seals count.
  ///
  /// - Parameter connection: Has the repair role.
  static func recount(
    _ faults: [Verifier.EntryFault], on connection: Connection
  ) throws(OpsError) {
    if faults.isEmpty { return }
    var (entries, more) = (ArrayBuilder(.int8), ArrayBuilder(.int8))
    for fault in faults {
      entries.int8(fault.entry)
      more.int8(fault.found - fault.expected)
    }
    var parameters = Parameters()
    parameters.array(entries)
    parameters.array(more)
    _ = try onDatabase { () throws(PostgresError) in
      try connection.query(
        Statement("SELECT ledger.recount_seals($1::bigint[], $2::bigint[])"), parameters)
    }
  }

  /// Removes the rows that differ from the log, and makes them again.
  ///
  /// - Parameter reader: In a transaction with the repair role, that has locked the tables and records the repair.
  /// - Returns: How many rows of each table were wrong.
  static func repair(
    _ reader: LogReader, roots: [RootCheck.WrongRow]
  ) throws(OpsError) -> [String: RepairCount] {
    var check = BookkeepingCheck(reader)
    try check.run()
    var parameters = Parameters()
    parameters.uuids(check.wrongCommands)
    parameters.uuids(check.wrongTombstones)
    parameters.uuids(check.wrongErasures)
    for rows in [check.archivedKeys, check.archivedTombstones, check.archivedErasures] {
      parameters.json(JSON.array(rows).text)
    }
    _ = try reader.query(repairBookkeeping, parameters)
    _ = try reader.query(repairGuarded, guardedRows(check, roots))
    let sizes = try Verifier.sealFaults(reader)
    try recount(sizes, on: reader.connection)
    var counts: [String: RepairCount] = [:]
    for difference in check.differences + roots.map(\.difference) + sizes.map(\.difference) {
      counts[difference.table, default: RepairCount()].updated += 1
    }
    return counts
  }

  private static func guardedRows(
    _ check: BookkeepingCheck, _ wrong: [RootCheck.WrongRow]
  ) -> Parameters {
    var parameters = Parameters()
    parameters.texts(check.wrongCopies.map(\.description))
    parameters.json(JSON.array(check.missingCopies.map(copy)).text)
    let hasher = TreeHasher()
    var (entries, sizes) = (ArrayBuilder(.int8), ArrayBuilder(.int8))
    var (roots, frontiers) = (ArrayBuilder(.bytea), ArrayBuilder(.bytea))
    for row in wrong {
      entries.int8(row.entry)
      sizes.int8(row.tree.map { Int64(clamping: $0.size) })
      roots.bytes(row.tree?.root(hasher).bytes)
      frontiers.bytes(row.tree?.bytes)
    }
    for array in [entries, sizes, roots, frontiers] { parameters.array(array) }
    return parameters
  }

  /// A row of `ledger.kept_events`, in the form that ``repairGuarded`` reads.
  private static func copy(_ event: LoggedEvent) -> JSON {
    .object([
      "entry": .int(Int(event.entry)), "index": .int(Int(event.index)),
      "stream": .string(event.stream.description), "version": .int(Int(event.version)),
      "type": .string(event.type), "micros": .int(Int(event.recordedAt.micros)),
      "actor": .string(event.actor), "cause": event.cause.map { .int(Int($0)) } ?? .null,
      "command": event.command.map { .string($0.description) } ?? .null,
      "data": .string(event.data), "content": event.content.map(JSON.string) ?? .null,
      "salt": event.salt.map { .string(hexEncoded($0)) } ?? .null,
      "commitment": event.commitment.map { .string(hexEncoded($0)) } ?? .null,
    ])
  }

  private static let repairBookkeeping = Statement(
    """
    SELECT ledger.repair_bookkeeping($1::uuid[], $2::uuid[], $3::uuid[], $4::json, $5::json, $6::json)
    """)
  private static let repairGuarded = Statement(
    """
    SELECT ledger.repair_guarded(
      $1::text[], $2::json, $3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[])
    """)
}
