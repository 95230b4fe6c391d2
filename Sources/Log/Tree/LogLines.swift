package import Crypto
package import Ledger
package import Postgres

/// The log's lines as segments have them: `COPY … TO` in text format, all columns, in the order of the log.
package final class LogLines {
  private let copy: CopyReader
  private let reader = EventLineReader()
  private let hasher = LeafHasher()

  /// - Parameter connection: A connection of a ``Log/Session``, whose settings make times UTC.
  package convenience init(
    _ entries: ClosedRange<Int64>, on connection: Connection
  ) throws(OpsError) {
    try self.init(
      of: "ledger.events",
      "WHERE entry BETWEEN \(entries.lowerBound) AND \(entries.upperBound)", on: connection)
  }

  /// - Parameter table: The log, or a table with its columns.
  package init(of table: String, _ condition: String = "", on connection: Connection)
    throws(OpsError)
  {
    copy = try onDatabase { () throws(PostgresError) in
      try connection.copyReader(
        """
        COPY (SELECT entry, index, stream, version, type, recorded_at, actor, cause, command, data, \
        content, salt, commitment FROM \(table) \(condition) ORDER BY entry, index) TO STDOUT
        """)
    }
  }

  /// The next line with its newline, valid until the next call; nil after the last.
  package func next() throws(OpsError) -> UnsafeRawBufferPointer? {
    try onDatabase { () throws(PostgresError) in try copy.nextRaw() }
  }

  package func nextLeaf() throws(OpsError) -> (event: EventLine, leaf: Digest)? {
    guard let line = try next() else { return nil }
    do {
      let event = try reader.read(line)
      return (event, try hasher.leaf(of: event))
    } catch {
      let entry = Self.entry(of: line)
      throw OpsError(
        .inconsistentRow,
        (entry.map { "an event of entry \($0)" } ?? "a line of the log")
          + " cannot be read: \(error)",
        hint: "see `opsledger verify`",
        cause: entry.map { .unreadableLine(entry: $0, fault: "\(error)") })
    }
  }

  /// The entry of a line that cannot be read. It is the first column.
  private static func entry(of line: UnsafeRawBufferPointer) -> Int64? {
    Int64(String(decoding: line.prefix { $0 != UInt8(ascii: "\t") }, as: UTF8.self))
  }
}
