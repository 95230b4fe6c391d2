internal import Dispatch
internal import Glibc
public import Ledger
public import Postgres
internal import Synchronization
internal import Threads

/// What runs once at a time, wherever it was started.
public enum LeasedTask: String, CaseIterable, Sendable {
  case heartbeat, push, retention
}

/// A process that has a task, which nobody else runs meanwhile: a row of `ledger.task_leases`, a lease with a fencing token.
///
/// A lock would not do: any login may take an advisory lock, a pooler hands sessions on, and a server notices late
/// that a host is gone. The lease ends when its runner was not heard of for half a minute, or its session has ended.
public final class TaskLease: Sendable {
  /// Who has a task.
  public struct Holder: Error, Equatable, Sendable {
    public var task: String
    /// Program, host, process and login.
    public var name: String
    public var since: Instant
  }

  private struct State {
    var renewedAt: Double
    /// Why it no longer has the task.
    var loss: OpsError?
  }

  public let task: LeasedTask
  private let token: StreamID
  private let state: Mutex<State>
  private let leaseSeconds: Double
  private let ending = DispatchSemaphore(value: 0)

  /// How often a lease is renewed beside work that takes long.
  private static let renewalSeconds = 10.0
  /// How often a task that another has is asked for again.
  private static let lookMicros: UInt32 = 200_000
  /// After so long it is said who is waited for.
  private static let patienceSeconds = 2.0

  private init(_ task: LeasedTask, _ token: StreamID, leaseSeconds: Double, takenAt: Double) {
    self.task = task
    self.token = token
    self.leaseSeconds = leaseSeconds
    state = Mutex(State(renewedAt: takenAt))
  }

  // MARK: Taking

  /// Takes a task, and waits while another has it; after two seconds it says for whom.
  ///
  /// - Parameter waitSeconds: How long; nil: until it is free.
  /// - Throws: `OPS_012` where another has it still.
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

  /// Takes a task, or says who has it.
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
    // The session ends with its process, unless it is a pooler's.
    let connection = try session.connection()
    parameters.int4(connection.isPooled ? nil : connection.backendPID)
    // Nothing is lost with it: a runner that has no row stops.
    let answer = try session.readBack(all: [(asynchronously, Parameters()), (taking, parameters)])[
      1]
    return try onDatabase { () throws(PostgresError) in
      if try answer.bool(0, 0) {
        return .success(
          TaskLease(
            task, token, leaseSeconds: Double(try answer.int4(0, 3)), takenAt: takenAt))
      }
      // Between two looks the other may have ended.
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

  // MARK: Having

  private var identity: Parameters {
    var parameters = Parameters()
    parameters.text(task.rawValue)
    parameters.uuid(token)
    return parameters
  }

  /// Goes into a transaction that must not be recorded once the task is another's: it renews the lease, and until the
  /// transaction ends nobody takes the task.
  public var fence: (Statement, Parameters) { (Self.renewing, identity) }

  private static let renewing = Statement("SELECT ledger.renew_task($1::text, $2::uuid)")

  /// Renews the lease.
  ///
  /// - Throws: `OPS_012` where the task is another's by now.
  public func renew(_ session: Session) throws(OpsError) {
    let now = monotonicSeconds()
    do throws(OpsError) {
      let (statement, parameters) = fence
      _ = try session.readBack(statement, parameters)
    } catch {
      if error.code == .conflict { state.withLock { $0.loss = error } }
      throw error
    }
    state.withLock { $0.renewedAt = max($0.renewedAt, now) }
  }

  /// Renews the lease now and then on a thread and a connection of its own, for work that takes long: it connects where
  /// the work takes longer than a few seconds.
  public func keep(_ target: Session.Target) {
    // Without a thread the lease ends, and `require` says so.
    _ = startThread { [self] in
      var session: Session?
      while ending.wait(timeout: .now() + Self.renewalSeconds) == .timedOut {
        // The same where the database is away.
        if session == nil { session = try? Session(target) }
        if let session { try? renew(session) }
      }
    }
  }

  /// - Throws: `OPS_012` where the lease was lost, or not renewed for so long that others may take the task.
  public func require() throws(OpsError) {
    let now = monotonicSeconds()
    let (loss, age) = state.withLock { ($0.loss, now - $0.renewedAt) }
    if let loss { throw loss }
    guard age < leaseSeconds - 5 else {
      throw OpsError(
        .conflict, "this \(task.rawValue) could not renew its lease for \(Int(age)) s, and stops",
        hint: "others may run it by now; start it again")
    }
  }

  /// Gives the task back. What cannot be said now, the end of the lease says.
  public func end(_ session: Session) {
    ending.signal()
    _ = try? session.query(
      all: [(Self.asynchronously, Parameters()), (Self.leaving, identity)])
  }

  private static let leaving = Statement("SELECT ledger.end_task($1::text, $2::uuid)")
}

extension TaskLease.Holder {
  /// `push: opsledger archive push on HOST (process 123, login engine), since 2026-11-29T14:05:00Z`
  public var text: String { "\(task): \(name), since \(since)" }

  var refusal: OpsError {
    OpsError(
      .conflict, "another \(task) is running: \(name), since \(since)",
      hint: "wait until it ends; one that is not heard of for half a minute is over")
  }
}

extension Session {
  /// Who has which task now.
  public func taskLeases() throws(OpsError) -> [TaskLease.Holder] {
    let rows = try query(Self.running)
    return try onDatabase { () throws(PostgresError) in
      var holders: [TaskLease.Holder] = []
      for row in 0..<rows.count {
        holders.append(
          TaskLease.Holder(
            task: try rows.text(row, 0), name: try rows.text(row, 1),
            since: Instant(micros: try rows.timestamptz(row, 2))))
      }
      return holders
    }
  }

  private static let running = Statement(
    """
    SELECT r.task, ledger.task_lease_text(r), r.started_at FROM ledger.task_leases AS r
    WHERE ledger.is_running(r) ORDER BY r.task
    """)
}

/// Only differences mean anything.
package func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}

private func hostName() -> String {
  withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
    guard let start = buffer.baseAddress, gethostname(start, 255) == 0 else { return "unknown" }
    buffer[255] = 0
    return String(cString: start)
  }
}
