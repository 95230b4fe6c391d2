public import Ledger
import Postgres

/// An event of the log: a row of `ledger.events`.
public struct LoggedEvent: Equatable, Sendable {
  public var entry: Int64
  /// The position in the entry, from 0.
  public var index: Int32
  public var stream: StreamID
  public var version: Int32
  /// `step.leased`.
  public var type: String
  public var recordedAt: Instant
  public var actor: String
  /// The entry that led to this one, if any.
  public var cause: Int64?
  public var command: StreamID?
  /// JSON text, as it was written.
  public var data: String
  /// JSON text; nil if there never was any, or it was erased.
  public var content: String?
  public var salt: [UInt8]?
  public var commitment: [UInt8]?
}

extension LoggedEvent {
  /// The decoded event, of the kind that its type names.
  public func decoded<R: Row>(_ kind: StreamEvent<R>.Kind) throws(Unreadable) -> StreamEvent<R> {
    try StreamEvent(kind, data: data, content: content)
  }

  /// The decoded event if its kind is the row type's own; nil for a kind that every row type has.
  public func own<R: Row>(_ kind: StreamEvent<R>.Kind) throws(Unreadable) -> R.Event? {
    guard case .own = kind, case .own(let event) = try decoded(kind) else { return nil }
    return event
  }

  package static let columns = """
    e.entry, e.index, e.stream, e.version, e.type, e.recorded_at, e.actor, e.cause, e.command, \
    e.data, e.content, e.salt, e.commitment
    """

  init(_ rows: Rows, _ row: Int) throws(PostgresError) {
    entry = try rows.int8(row, 0)
    index = try rows.int4(row, 1)
    stream = StreamID(try rows.uuid(row, 2))
    version = try rows.int4(row, 3)
    type = try rows.text(row, 4)
    recordedAt = Instant(micros: try rows.timestamptz(row, 5))
    actor = try rows.text(row, 6)
    cause = try rows.int8IfPresent(row, 7)
    command = try rows.uuidIfPresent(row, 8).map { StreamID($0) }
    data = try rows.json(row, 9)
    content = try rows.jsonIfPresent(row, 10)
    salt = try rows.byteaIfPresent(row, 11)
    commitment = try rows.byteaIfPresent(row, 12)
  }

  /// The events of one stream, in the order of the log: `$1` the stream.
  static let ofStream = Statement(
    "SELECT \(columns) FROM ledger.events AS e WHERE e.stream = $1::uuid ORDER BY e.entry, e.index")
}
