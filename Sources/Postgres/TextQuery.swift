internal import CPostgres

/// One statement of somebody else's, which gives rows in text format, one after the other.
///
/// It is prepared and described before it runs, so that the server has said that it is one statement,
/// that it gives rows, and which. Nothing of it was executed by then.
public final class TextQuery {
  public struct Column: Sendable {
    public let name: String
    public let type: TypeOID
  }

  /// One row; good until the next.
  public struct Row: ~Copyable {
    private let result: OpaquePointer

    init(_ result: OpaquePointer) { self.result = result }

    /// The value as the server prints it; nil is NULL.
    public subscript(_ column: Int) -> String? {
      guard PQgetisnull(result, 0, Int32(clamping: column)) == 0,
        let start = PQgetvalue(result, 0, Int32(clamping: column))
      else { return nil }
      let count = Int(PQgetlength(result, 0, Int32(clamping: column)))
      return String(
        decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
  }

  /// What the statement gives; empty for one that gives no rows.
  public let columns: [Column]
  /// How many parameters it names.
  public let parameterCount: Int
  private let connection: Connection
  private let sql: String

  /// - Throws: The server's error, also for several statements in one text.
  public init(_ sql: String, on connection: Connection) throws(PostgresError) {
    self.connection = connection
    self.sql = sql
    let handle = try connection.idleHandle()
    try connection.prepareUnnamed(sql, handle)
    guard PQsendDescribePrepared(handle, "") == 1 else {
      throw connection.lost(mayHaveSent: true)
    }
    var columns: [Column] = []
    var parameters = 0
    try connection.readResults(handle) { (result) throws(PostgresError) in
      parameters = Int(PQnparams(result))
      for column in 0..<max(0, PQnfields(result)) {
        columns.append(
          Column(
            name: PQfname(result, column).map { String(cString: $0) } ?? "",
            type: TypeOID(PQftype(result, column))))
      }
    }
    self.columns = columns
    parameterCount = parameters
  }

  /// Runs it, and hands over its rows as they come.
  ///
  /// - Throws: The server's error, perhaps after rows were handed over.
  public func run(_ each: (borrowing Row) -> Void) throws(PostgresError) {
    let handle = try connection.idleHandle()
    // Where statements have no names, others have taken its place.
    if connection.isPooled { try connection.prepareUnnamed(sql, handle) }
    guard PQsendQueryPrepared(handle, "", 0, nil, nil, nil, 0) == 1,
      PQsetSingleRowMode(handle) == 1
    else { throw connection.lost(mayHaveSent: true) }
    // A pipeline, which does not begin by it, would find this mode still on.
    defer { try? connection.execute("") }
    try connection.readResults(handle) { (result) throws(PostgresError) in
      if PQresultStatus(result) == PGRES_SINGLE_TUPLE { each(Row(result)) }
    }
  }
}

extension Connection {
  fileprivate func prepareUnnamed(_ sql: String, _ handle: OpaquePointer) throws(PostgresError) {
    guard !sql.utf8.contains(0) else { throw .usage("a zero byte in the SQL") }
    guard PQsendPrepare(handle, "", sql, 0, nil) == 1 else { throw lost(mayHaveSent: true) }
    try readResults(handle) { (_) throws(PostgresError) in }
  }

  /// Reads the answers to what was sent, to the end.
  fileprivate func readResults(
    _ handle: OpaquePointer, _ each: (OpaquePointer) throws(PostgresError) -> Void
  ) throws(PostgresError) {
    var first: PostgresError?
    while let result = PQgetResult(handle) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY, PGRES_SINGLE_TUPLE:
        if first == nil { try each(result) }
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        failed = true
        close()
        throw .usage("COPY needs copyIn or copyOut; the connection is closed")
      default:
        let error = error(of: result)
        if first == nil { first = error }
        // A connection that died gives this for ever.
        if error.connectionLost { throw error }
      }
    }
    if let first { throw first }
    if isBroken { throw lost(mayHaveSent: true) }
  }
}
