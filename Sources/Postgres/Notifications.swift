internal import CPostgres
internal import Glibc

/// A message of NOTIFY. It can be lost, so the receiver must also look into the tables.
public struct Notification: Hashable, Sendable {
  public let channel: String
  public let payload: String
  public let senderPID: Int32
}

extension Connection {
  /// LISTENs to a channel.
  ///
  /// - Throws: `.usage` behind a pooler, which may give the listening session to another client.
  public func listen(_ channel: String) throws(PostgresError) {
    guard !isPooled else { throw .usage("LISTEN does not work behind a pooler") }
    try execute("LISTEN \(quoteIdentifier(channel))")
  }

  /// Waits for at least one notification, or until the timeout.
  ///
  /// - Returns: All notifications that have arrived, oldest first; none after the timeout.
  public func waitForNotifications(timeoutMillis: Int) throws(PostgresError) -> [Notification] {
    let handle = try freeHandle()
    let deadline = monotonicMillis() + max(0, timeoutMillis)
    while true {
      guard PQconsumeInput(handle) == 1, !isBroken else { throw lost(mayHaveSent: false) }
      let found = takeNotifications(handle)
      if !found.isEmpty { return found }
      if notices.fatal != nil { throw lost(mayHaveSent: false) }
      guard waitForSocket(PQsocket(handle), Int16(POLLIN), until: deadline) else { return [] }
    }
  }

  private func takeNotifications(_ handle: OpaquePointer) -> [Notification] {
    var found: [Notification] = []
    while let notification = PQnotifies(handle) {
      defer { PQfreemem(notification) }
      found.append(
        Notification(
          channel: String(cString: notification.pointee.relname),
          payload: String(cString: notification.pointee.extra),
          senderPID: notification.pointee.be_pid))
    }
    return found
  }
}
