internal import CPostgres

/// Cancels the statement of a connection, from any thread, also after the connection is closed. The cancelled call
/// throws SQLSTATE 57014.
public final class CancelToken: @unchecked Sendable {
  // Unchecked: the object never changes, and libpq documents that any thread may call PQcancel.
  private let handle: OpaquePointer

  init(owning handle: OpaquePointer) { self.handle = handle }

  deinit { PQfreeCancel(handle) }

  /// Connects again, so it takes as long as a connection. Success means only that the server got the request.
  public func cancel() throws(PostgresError) {
    let message = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) {
      buffer -> String? in
      buffer.initialize(repeating: 0)
      guard PQcancel(handle, buffer.baseAddress, 256) == 0 else { return nil }
      return buffer.baseAddress.map { String(cString: $0) } ?? ""
    }
    if let message { throw .connect("cannot cancel: \(trimmed(message))") }
  }
}

extension Connection {
  /// - Throws: When the connection is closed.
  public func cancelToken() throws(PostgresError) -> CancelToken {
    guard let handle, let token = PQgetCancel(handle) else {
      throw .closed
    }
    return CancelToken(owning: token)
  }
}
