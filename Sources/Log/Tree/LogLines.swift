package import Crypto
package import Ledger
package import Postgres

/// The log's lines as a segment holds them: `COPY … TO` in text format, all columns, in the order of the log.
package final class LogLines {
  private let copy: CopyReader
  private let reader = EventLineReader()
  private let hasher = LeafHasher()

  /// - Parameter connection: Of a ``Log/Session``, whose settings give times in UTC.
  package convenience init(
    _ entries: ClosedRange<Int64>, on connection: Connection
  ) throws(OpsError) {
    try self.init(
      of: "ledger.events",
      "WHERE entry BETWEEN \(entries.lowerBound) AND \(entries.upperBound)", on: connection)
  }

  /// - Parameter table: The log, or one of its columns.
  package init(
    of table: String, _ condition: String = "", on connection: Connection
  ) throws(OpsError) {
    copy = try onDatabase { () throws(PostgresError) in
      return try connection.copyReader(
        """
        COPY (SELECT entry, index, stream, version, type, recorded_at, actor, cause, command, data, \
        content, salt, commitment FROM \(table) \(condition) ORDER BY entry, index) TO STDOUT
        """)
    }
  }

  /// The next line with its newline, good until the one after it; nil after the last.
  package func next() throws(OpsError) -> UnsafeRawBufferPointer? {
    try onDatabase { () throws(PostgresError) in try copy.nextRaw() }
  }

  /// The next event with its leaf.
  package func nextLeaf() throws(OpsError) -> (event: EventLine, leaf: Digest)? {
    guard let line = try next() else { return nil }
    do {
      let event = try reader.read(line)
      return (event, try hasher.leaf(of: event))
    } catch {
      let entry = Self.entry(of: line)
      throw OpsError(
        .inconsistentRow,
        "the database gives a line of the log that is none"
          + (entry.map { ", of entry \($0)" } ?? "") + ": \(error)",
        hint: "see `opsledger verify`",
        cause: entry.map { .unreadableLine(entry: $0, fault: "\(error)") })
    }
  }

  /// A line begins with its entry, whatever else of it cannot be read.
  private static func entry(of line: UnsafeRawBufferPointer) -> Int64? {
    Int64(String(decoding: line.prefix { $0 != UInt8(ascii: "\t") }, as: UTF8.self))
  }
}
