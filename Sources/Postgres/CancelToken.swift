internal import CPostgres

/// Asks the server to stop what a connection is doing; usable from any thread, at any time, also
/// after the connection is gone. The cancelled call then throws `isQueryCanceled`.
public final class CancelToken: @unchecked Sendable {
  // Unchecked: libpq documents PQcancel as safe from any thread; the object never changes.
  private let handle: OpaquePointer

  init(owning handle: OpaquePointer) { self.handle = handle }

  deinit { PQfreeCancel(handle) }

  /// Connects once more, so it takes as long as connecting. Success means only that the request
  /// was delivered.
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
      throw .lost("the connection is closed", mayHaveSent: false)
    }
    return CancelToken(owning: token)
  }
}
