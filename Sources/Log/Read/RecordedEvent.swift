public import JSON
public import Ledger
import Postgres

/// One event of the log, as people and programs read it.
public struct RecordedEvent: Sendable {
  public let entry: Int64
  public let index: Int32
  public let stream: StreamID
  public let version: Int32
  /// `step.leased`.
  public let type: String
  public let at: Instant
  public let actor: String
  public let cause: Int64?
  public let command: StreamID?
  /// The payload's two parts as they were written.
  public let data: String
  public let content: String?
  public let salt: [UInt8]?
  public let commitment: [UInt8]?

  /// `step`.
  public var noun: String { String(type.prefix { $0 != "." }) }
  /// The payload's structure.
  public var fields: JSON { (try? JSON(parsing: data)) ?? .null }
  /// What people and programs wrote; null where there is none, or it was erased.
  public var texts: JSON { content.flatMap { try? JSON(parsing: $0) } ?? .null }

  static let columns = """
    entry, index, stream, version, type, recorded_at, actor, cause, command, data, content, salt,
    commitment
    """

  init(_ rows: Rows, _ row: Int) throws(PostgresError) {
    entry = try rows.int8(row, 0)
    index = try rows.int4(row, 1)
    stream = StreamID(try rows.uuid(row, 2))
    version = try rows.int4(row, 3)
    type = try rows.text(row, 4)
    at = Instant(micros: try rows.timestamptz(row, 5))
    actor = try rows.text(row, 6)
    cause = try rows.int8IfPresent(row, 7)
    command = try rows.uuidIfPresent(row, 8).map { StreamID($0) }
    data = try rows.json(row, 9)
    content = try rows.jsonIfPresent(row, 10)
    salt = try rows.byteaIfPresent(row, 11)
    commitment = try rows.byteaIfPresent(row, 12)
  }

  static func all(_ rows: Rows) throws(OpsError) -> [RecordedEvent] {
    try onDatabase { () throws(PostgresError) in
      var events: [RecordedEvent] = []
      for row in 0..<rows.count { events.append(try RecordedEvent(rows, row)) }
      return events
    }
  }
}
