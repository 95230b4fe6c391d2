import Glibc
import Host
import Ledger
import Log

/// Handles a database that goes away while a command runs for ever: says so once, waits, and says when it is back.
enum Outage {
  /// The interval between two tries.
  private static let tryMillis = 1000

  /// Waits until the database answers again, or the command is told to stop.
  ///
  /// - Returns: Whether the caller may try again at once; false where the database was not away.
  static func wait(
    for session: Session, _ error: OpsError, _ stop: StopSignal
  ) -> Bool {
    guard error.code == .databaseUnreachable else { return false }
    let watch = Stopwatch()
    var isAway = !answers(session)
    // The server may have restarted, and be back already.
    guard isAway || error.database?.isLostConnection == true else { return false }
    say("database unreachable (\(reason(error))), trying again")
    while isAway {
      guard stop.sleep(millis: tryMillis) else { return false }
      isAway = !answers(session)
    }
    say("database is back after \(watch.elapsedMillis / 1000) s")
    return true
  }

  private static func answers(_ session: Session) -> Bool {
    do throws(OpsError) { try session.ping() } catch { return error.code != .databaseUnreachable }
    return true
  }

  private static func reason(_ error: OpsError) -> String {
    error.message.split(separator: "\n").map { $0.drop { $0 == " " || $0 == "\t" } }
      .joined(separator: "; ")
  }

  private static func say(_ text: String) {
    let seconds = time(nil) % 86_400
    let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60].map {
      ($0 < 10 ? "0" : "") + "\($0)"
    }
    Output.messages.line(Terminal.printable("\(clock.joined(separator: ":")) \(text)"))
  }
}

extension Invocation {
  /// Notes what is different behind a pooler, for a command that runs for ever.
  func notePooler(_ session: Session) {
    guard session.isPooled else { return }
    note(
      "behind a connection pooler: each transaction makes its own settings, and this command polls for news"
    )
  }
}
