internal import CPostgres

/// One statement that a user wrote. It gives rows in text format, one after the other.
///
/// The server prepares and describes the statement before it runs. So the text is known to be one statement, and its
/// columns are known, before anything is executed.
public final class TextQuery {
  public struct Column: Sendable {
    public let name: String
    public let type: TypeOID
  }

  /// One row, which is valid until the next one.
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

  /// Empty for a statement that gives no rows.
  public let columns: [Column]
  public let parameterCount: Int
  private let connection: Connection
  private let sql: String

  /// - Throws: The server's error, also if the text holds several statements.
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

  /// Runs the statement and calls `each` with its rows as they arrive.
  ///
  /// - Throws: The server's error, perhaps after some rows.
  public func run(_ each: (borrowing Row) -> Void) throws(PostgresError) {
    let handle = try connection.idleHandle()
    // Behind a pooler, other statements have replaced the unnamed one.
    if connection.isPooled { try connection.prepareUnnamed(sql, handle) }
    guard PQsendQueryPrepared(handle, "", 0, nil, nil, nil, 0) == 1,
      PQsetSingleRowMode(handle) == 1
    else { throw connection.lost(mayHaveSent: true) }
    // Ends the single row mode, which libpq would keep for the next pipeline.
    defer { try? connection.execute("") }
    try connection.readResults(handle) { (result) throws(PostgresError) in
      if PQresultStatus(result) == PGRES_SINGLE_TUPLE { each(Row(result)) }
    }
  }
}

extension Connection {
  fileprivate func prepareUnnamed(_ sql: String, _ handle: OpaquePointer) throws(PostgresError) {
    try Self.requireNoZeroByte(in: sql)
    guard PQsendPrepare(handle, "", sql, 0, nil) == 1 else { throw lost(mayHaveSent: true) }
    try readResults(handle) { (_) throws(PostgresError) in }
  }

  /// Reads all answers to what was sent.
  func readResults(
    _ handle: OpaquePointer, _ each: (OpaquePointer) throws(PostgresError) -> Void
  ) throws(PostgresError) {
    var first: PostgresError?
    while let result = PQgetResult(handle) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_COMMAND_OK, PGRES_TUPLES_OK, PGRES_EMPTY_QUERY, PGRES_SINGLE_TUPLE:
        if first == nil { try each(result) }
      case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
        throw closing(Self.copyHere)
      default:
        let error = error(of: result)
        if first == nil { first = error }
        // A broken connection gives this error for ever.
        if error.connectionLost { throw error }
      }
    }
    if let first { throw first }
    if isBroken { throw lost(mayHaveSent: true) }
  }
}
