internal import Dispatch
internal import Glibc
public import Ledger
public import Postgres
internal import Synchronization
internal import Threads

/// A task that runs once at a time in the whole database, on whichever host it was started.
public enum LeasedTask: String, CaseIterable, Sendable {
  case heartbeat, push, retention
}

/// A process's lease on a task: a row of `ledger.task_leases` with a fencing token. Nobody else runs the task meanwhile.
///
/// A lock would not do: any login may take an advisory lock, a pooler hands sessions on, and a server notices late
/// that a host is gone. The lease ends half a minute after its last renewal, or when its session has ended.
public final class TaskLease: Sendable {
  public struct Holder: Error, Equatable, Sendable {
    public var task: String
    /// Program, host, process and login.
    public var name: String
    public var since: Instant
  }

  private struct State {
    var renewedAt: Double
    /// Why the process no longer has the task; nil while it has.
    var loss: OpsError?
  }

  public let task: LeasedTask
  private let token: StreamID
  private let state: Mutex<State>
  private let leaseSeconds: Double
  private let ending = DispatchSemaphore(value: 0)

  /// The time between two renewals during long work.
  private static let renewalSeconds = 10.0
  /// The time between two attempts to take a task that another process has.
  private static let lookMicros: UInt32 = 200_000
  /// After so long, ``take(_:_:waitSeconds:)`` says whom it waits for.
  private static let patienceSeconds = 2.0

  private init(_ task: LeasedTask, _ token: StreamID, leaseSeconds: Double, takenAt: Double) {
    self.task = task
    self.token = token
    self.leaseSeconds = leaseSeconds
    state = Mutex(State(renewedAt: takenAt))
  }

  /// Takes a task. It waits while another process has the task, and says so after two seconds.
  ///
  /// - Parameter waitSeconds: The longest wait; nil: until the task is free.
  /// - Throws: `OPS_012` if another process still has the task then.
  public static func take(
    _ task: LeasedTask, _ session: Session, waitSeconds: Double? = nil
  ) throws(OpsError) -> TaskLease {
    let began = monotonicSeconds()
    var hasSaid = false
    while true {
      let holder: Holder
      switch try attempt(task, session) {
      case .success(let taskLease): return taskLease
      case .failure(let other): holder = other
      }
      let waited = monotonicSeconds() - began
      if let waitSeconds, waited >= waitSeconds { throw holder.refusal }
      if waited >= patienceSeconds, !hasSaid {
        hasSaid = true
        session.tell("waiting for another \(holder.text)")
      }
      usleep(lookMicros)
    }
  }

  public static func attempt(
    _ task: LeasedTask, _ session: Session
  ) throws(OpsError) -> Result<TaskLease, Holder> {
    let takenAt = monotonicSeconds()
    let token = newCommandID()
    var parameters = Parameters()
    parameters.text(task.rawValue)
    parameters.uuid(token)
    parameters.text(hostName())
    parameters.int4(getpid())
    parameters.text(session.target.application)
    // A session ends with its process, unless it is a pooler's.
    let connection = try session.connection()
    parameters.int4(connection.isPooled ? nil : connection.backendPID)
    // Without synchronous commit a crash can lose the row; its process notices at its next renewal, and stops.
    let answers = try session.readBack(all: [(asynchronously, Parameters()), (taking, parameters)])
    let answer = answers[1]
    return try onDatabase { () throws(PostgresError) in
      if try answer.bool(0, 0) {
        return .success(
          TaskLease(task, token, leaseSeconds: Double(try answer.int4(0, 3)), takenAt: takenAt))
      }
      // The holder may have ended meanwhile.
      return .failure(
        Holder(
          task: task.rawValue, name: try answer.textIfPresent(0, 1) ?? "somebody",
          since: Instant(micros: try answer.timestamptzIfPresent(0, 2) ?? 0)))
    }
  }

  private static let asynchronously = Statement(
    "SELECT pg_catalog.set_config('synchronous_commit', 'off', true)")
  private static let taking = Statement(
    """
    SELECT t.is_taken, t.holder, t.since, t.lease_seconds
    FROM ledger.lease_task($1::text, $2::uuid, $3::text, $4::integer, $5::text, $6::integer) AS t
    """)

  private var identity: Parameters {
    var parameters = Parameters()
    parameters.text(task.rawValue)
    parameters.uuid(token)
    return parameters
  }

  /// The first statement of a transaction that must not commit if another process has the task. It renews the lease,
  /// and nobody can take the task until the transaction ends.
  public var fence: (Statement, Parameters) { (Self.renewing, identity) }

  private static let renewing = Statement("SELECT ledger.renew_task($1::text, $2::uuid)")

  /// Renews the lease.
  ///
  /// - Throws: `OPS_012` if another process has the task by now.
  public func renew(_ session: Session) throws(OpsError) {
    let now = monotonicSeconds()
    do throws(OpsError) {
      _ = try session.readBack(Self.renewing, identity)
    } catch {
      if error.code == .conflict { state.withLock { $0.loss = error } }
      throw error
    }
    state.withLock { $0.renewedAt = max($0.renewedAt, now) }
  }

  /// Renews the lease every ten seconds until ``end(_:)``, on a thread and a connection of its own. Work that ends
  /// sooner opens no connection.
  public func keep(_ target: Session.Target) {
    // If no thread can be started, the lease ends, and `require` says so.
    _ = startThread { [self] in
      var session: Session?
      while ending.wait(timeout: .now() + Self.renewalSeconds) == .timedOut {
        // If the database cannot be reached, the same happens.
        if session == nil { session = try? Session(target) }
        if let session { try? renew(session) }
      }
    }
  }

  /// - Throws: `OPS_012` if the lease was lost, or is so old that another process may take the task.
  public func require() throws(OpsError) {
    let now = monotonicSeconds()
    let (loss, age) = state.withLock { ($0.loss, now - $0.renewedAt) }
    if let loss { throw loss }
    guard age < leaseSeconds - 5 else {
      throw OpsError(
        .conflict, "this \(task.rawValue) could not renew its lease for \(Int(age)) s, and stopped",
        hint: "another process may run it by now; start it again")
    }
  }

  /// Gives the task back. If the database cannot be reached, the task is free when the lease ends.
  public func end(_ session: Session) {
    ending.signal()
    _ = try? session.query(all: [(Self.asynchronously, Parameters()), (Self.leaving, identity)])
  }

  private static let leaving = Statement("SELECT ledger.end_task($1::text, $2::uuid)")
}

extension TaskLease.Holder {
  /// `push: opsledger archive push on HOST (process 123, login engine), since 2026-11-29T14:05:00Z`
  public var text: String { "\(task): \(name), since \(since)" }

  var refusal: OpsError {
    OpsError(
      .conflict, "another \(task) is running: \(name), since \(since)",
      hint: "wait until it ends; if it was killed, its lease ends within half a minute")
  }
}

extension Session {
  public func taskLeases() throws(OpsError) -> [TaskLease.Holder] {
    let rows = try query(Self.running)
    return try rows.map { (row) throws(PostgresError) in
      TaskLease.Holder(
        task: try rows.text(row, 0), name: try rows.text(row, 1),
        since: Instant(micros: try rows.timestamptz(row, 2)))
    }
  }

  private static let running = Statement(
    """
    SELECT r.task, ledger.task_lease_text(r), r.started_at FROM ledger.task_leases AS r
    WHERE ledger.is_running(r) ORDER BY r.task
    """)
}

/// Seconds of a clock that never goes back; only differences mean something.
package func monotonicSeconds() -> Double {
  Double(DispatchTime.now().uptimeNanoseconds) / 1e9
}

private func hostName() -> String {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
    guard let start = buffer.baseAddress, gethostname(start, 255) == 0 else { return "unknown" }
    buffer[255] = 0
    return String(cString: start)
  }
}
