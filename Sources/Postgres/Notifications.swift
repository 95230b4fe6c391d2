internal import CPostgres
internal import Glibc

/// What NOTIFY sent. A hint, no record: look into the tables too.
public struct Notification: Hashable, Sendable {
  public let channel: String
  public let payload: String
  public let senderPID: Int32
}

extension Connection {
  /// LISTENs to a channel.
  ///
  /// - Throws: `.usage` behind a pooler, where what is sent to one session reaches whoever has it then.
  public func listen(_ channel: String) throws(PostgresError) {
    guard !isPooled else { throw .usage("LISTEN behind a pooler") }
    try execute("LISTEN \(quoteIdentifier(channel))")
  }

  /// Waits until at least one notification is there, or the time is over.
  ///
  /// - Returns: All that have come, oldest first; empty when the time was over.
  public func waitForNotifications(timeoutMillis: Int) throws(PostgresError) -> [Notification] {
    guard let handle else { throw .lost("the connection is closed", mayHaveSent: false) }
    guard !copying else { throw .usage("a COPY is under way on this connection") }
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
