internal import Dispatch
internal import Glibc
internal import Ledger
internal import Postgres
internal import Synchronization
internal import Threads

/// Tells the person at the command line, once, which session holds the lock that a command waits for.
///
/// It runs on its own thread, and asks the server only when a connection has waited for two seconds.
public final class WaitWatch: Sendable {
  private static let patienceSeconds = 2.0
  private static let lookMicros: UInt32 = 500_000
  /// The longest time between two questions about one wait: a long statement need not wait for a lock at all.
  private static let secondsBetweenMax = 30.0

  private struct Watched { weak var waiting: Waiting? }

  private struct State {
    var watched: [Watched] = []
    var isRunning = false
  }

  private let url: String
  private let application: String
  private let tell: @Sendable (String) -> Void
  private let state = Mutex(State())

  /// - Parameters:
  ///   - target: The database to ask.
  ///   - tell: Prints one line for each session that holds a lock which others wait for.
  public init(_ target: Session.Target, tell: @escaping @Sendable (String) -> Void) {
    url = target.url
    application = target.application
    self.tell = tell
  }

  /// Makes what a session's connections report their waits to. It is watched for as long as the session keeps it.
  func add() -> Waiting {
    let waiting = Waiting()
    let starts = state.withLock { state in
      state.watched.removeAll { $0.waiting == nil }
      state.watched.append(Watched(waiting: waiting))
      defer { state.isRunning = true }
      return !state.isRunning
    }
    // If no thread can be started, nobody is told.
    if starts { _ = startThread { [weak self] in Self.run { self } } }
    return waiting
  }

  private static func run(_ watch: () -> WaitWatch?) {
    var look = Look()
    while let watch = watch() {
      look.run(watch)
      usleep(lookMicros)
    }
  }

  private struct Look {
    private var session: Session?
    private var told: Set<String> = []
    /// By the beginning of each wait: the length of the wait, in seconds, at which to ask the server again.
    private var due: [UInt64: Double] = [:]

    mutating func run(_ watch: WaitWatch) {
      let waits = watch.state.withLock { $0.watched.compactMap { $0.waiting } }
      var asked: [Int32?] = []
      var next: [UInt64: Double] = [:]
      for waiting in waits {
        guard let now = waiting.now else { continue }
        next[now.began] = due[now.began] ?? WaitWatch.patienceSeconds
        guard now.seconds >= next[now.began] ?? 0 else { continue }
        next[now.began] = now.seconds + min(now.seconds, WaitWatch.secondsBetweenMax)
        asked.append(waiting.pid)
      }
      due = next
      guard !asked.isEmpty else {
        session = nil
        return
      }
      for line in ask(watch, asked) where told.insert(line).inserted { watch.tell(line) }
    }

    private mutating func ask(_ watch: WaitWatch, _ pids: [Int32?]) -> [String] {
      let target = Session.Target(
        url: watch.url, application: watch.application + " (looks what it waits for)",
        connectTimeoutMillis: 2000)
      var array = ArrayBuilder(.int4)
      for pid in pids { array.int4(pid ?? 0) }
      var parameters = Parameters()
      parameters.array(array)
      parameters.text(watch.application)
      // If the server cannot be asked, the client that waits has its own error.
      guard let session = session ?? (try? Session(target)) else { return [] }
      self.session = session
      guard let rows = try? session.query(LockHolders.waitedFor, parameters) else { return [] }
      return (try? rows.texts())?.map { "waiting for " + $0 } ?? []
    }
  }
}
