import Crypto
import Ledger
import Log
import Postgres

/// The log's lines as a segment holds them: `COPY … TO` in text format, all columns, in the order of the log.
final class LogLines {
  private let copy: CopyReader
  private let reader = EventLineReader()
  private let hasher = LeafHasher()

  /// - Parameter connection: Of a ``Log/Session``, whose settings give times in UTC.
  init(_ entries: ClosedRange<Int64>, on connection: Connection) throws(OpsError) {
    copy = try onDatabase { () throws(PostgresError) in
      try connection.execute("SET DateStyle = 'ISO'; SET bytea_output = 'hex'")
      return try connection.copyReader(
        """
        COPY (SELECT entry, index, stream, version, type, recorded_at, actor, cause, command, data, \
        content, salt, commitment FROM ledger.events \
        WHERE entry BETWEEN \(entries.lowerBound) AND \(entries.upperBound) \
        ORDER BY entry, index) TO STDOUT
        """)
    }
  }

  /// The next line with its newline, good until the one after it; nil after the last.
  func next() throws(OpsError) -> UnsafeRawBufferPointer? {
    try onDatabase { () throws(PostgresError) in try copy.nextRaw() }
  }

  /// The next event with its leaf.
  func nextLeaf() throws(OpsError) -> (event: EventLine, leaf: Digest)? {
    guard let line = try next() else { return nil }
    do {
      let event = try reader.read(line)
      return (event, try hasher.leaf(of: event))
    } catch {
      throw OpsError(
        .inconsistentRow, "the database gives a line of the log that is none: \(error)",
        hint: "see `opsledger verify`")
    }
  }
}
