import JSON
import Ledger
import Log
import Postgres
import TestLedgers
import TestSupport
import Testing

/// What runs once at a time, wherever it was started.
@Suite("Who runs a task", .needsServer)
struct TaskLeaseTests {
  private func session(_ ledger: TestLedger) throws -> Session {
    try Session(Session.Target(url: ledger.url, application: "opsledger test"))
  }

  private func taken(_ task: LeasedTask, _ session: Session) throws -> TaskLease {
    try TaskLease.attempt(task, session).get()
  }

  @Test("one has it, the next is told who, and gets it afterwards", arguments: LeasedTask.allCases)
  func once(_ task: LeasedTask) throws {
    try TestLedger.with { ledger in
      let (first, second) = (try session(ledger), try session(ledger))
      let taskLease = try taken(task, first)
      guard case .failure(let holder) = try TaskLease.attempt(task, second) else {
        Issue.record("two have it")
        return
      }
      #expect(holder.name.hasPrefix("opsledger test on "))
      #expect(try second.taskLeases() == [holder])
      let refusal = #expect(throws: OpsError.self) {
        _ = try TaskLease.take(task, second, waitSeconds: 0)
      }
      #expect(refusal?.code == .conflict)
      #expect(refusal?.message.contains(holder.name) == true)
      taskLease.end(first)
      #expect(try second.taskLeases() == [])
      _ = try taken(task, second)
    }
  }

  @Test("who waits says for whom, once")
  func waiting() throws {
    try TestLedger.with { ledger in
      let (first, second) = (try session(ledger), try session(ledger))
      _ = try taken(.push, first)
      var said: [String] = []
      second.tell = { said.append($0) }
      expectRefusal(.conflict) { _ = try TaskLease.take(.push, second, waitSeconds: 3) }
      #expect(said.count == 1)
      #expect(said.first?.hasPrefix("waiting for another push: opsledger test on ") == true)
    }
  }

  @Test("a task lease whose session has ended has it no longer")
  func sessionEnds() throws {
    try TestLedger.with { ledger in
      let (first, second) = (try session(ledger), try session(ledger))
      let lost = try taken(.heartbeat, first)
      first.drop()
      // The server notices in its own time.
      let taskLease = try TaskLease.take(.heartbeat, second, waitSeconds: 120)
      let refusal = #expect(throws: OpsError.self) { try lost.renew(first) }
      #expect(refusal?.code == .conflict)
      let late = #expect(throws: OpsError.self) { try lost.require() }
      #expect(late?.code == .conflict)
      // And it takes nothing away from whoever has it now.
      lost.end(first)
      try taskLease.renew(second)
      try taskLease.require()
    }
  }

  @Test(
    "a lease that has ended, and one of a clock that was ahead, are no leases",
    arguments: ["-1 second", "1 year"])
  func leases(_ ends: String) throws {
    try TestLedger.with { ledger in
      let (first, second) = (try session(ledger), try session(ledger))
      let lost = try taken(.retention, first)
      // As behind a pooler, where nobody knows its session.
      try ledger.execute(
        "UPDATE ledger.task_leases SET backend = NULL, expires_at = clock_timestamp() + interval '\(ends)'"
      )
      let taskLease = try taken(.retention, second)
      let command = try session(ledger)
      expectRefusal(.conflict) { _ = try command.readBack(lost.fence.0, lost.fence.1) }
      try taskLease.renew(second)
    }
  }

  @Test("a transaction that was fenced keeps the task until it has ended")
  func fence() throws {
    try TestLedger.with { ledger in
      let (first, second) = (try session(ledger), try session(ledger))
      let taskLease = try taken(.heartbeat, first)
      let connection = try first.connection()
      try connection.pipeline([(.begin, Parameters()), taskLease.fence])
      try ledger.execute("SELECT 1")
      // Though its lease should end meanwhile: the row cannot be taken from under it.
      guard case .failure = try TaskLease.attempt(.heartbeat, second) else {
        Issue.record("taken from a transaction")
        return
      }
      try connection.execute("COMMIT")
    }
  }

  @Test(
    "a command that was fenced is not recorded once the task is another's, and is not tried again")
  func fencedCommand() throws {
    try TestLedger.with { ledger in
      let (first, second) = (try session(ledger), try session(ledger))
      let lost = try taken(.heartbeat, first)
      try ledger.execute("UPDATE ledger.task_leases SET backend = NULL, expires_at = '2000-01-01Z'")
      _ = try taken(.heartbeat, second)
      let before = try ledger.count("ledger.events")
      var command = Command(Reads()) { (_, draft) throws(OpsError) in
        let id = draft.newID()
        draft.append(
          .reported(AgentEvent.Report(type: "a:b", data: "{}"), processed: true),
          of: AgentEvent.self, to: id)
      }
      command.fence = lost.fence
      let key = CommandKey(id: newCommandID(), actor: "test")
      let refusal = #expect(throws: OpsError.self) { _ = try first.perform(key, command) }
      #expect(refusal?.code == .conflict)
      #expect(refusal?.message.contains("has lost its lease") == true)
      #expect(try ledger.count("ledger.events") == before)
      command.fence = nil
      _ = try first.perform(key, command)
      #expect(try ledger.count("ledger.events") == before + 1)
    }
  }

  @Test(
    "behind a pooler a COMMIT in doubt ends the transaction that was asked, and no other of the session's"
  )
  func pooledDoubt() throws {
    try TestLedger.with { ledger in
      let connection = try Connection(
        url: ledger.url, settings: [("lock_timeout", "7s")], isPooled: true)
      #expect(connection.backend == nil)
      try connection.pipeline([(.begin, Parameters()), (Statement("SELECT 1"), Parameters())])
      let backend = try #require(connection.backend)
      #expect(backend.pid == connection.backendPID)
      let other = try Connection(url: ledger.url)
      var parameters = Parameters()
      parameters.int4(backend.pid)
      parameters.timestamptz(microsSince1970: backend.transactionMicros)
      let same = Statement(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = $1::integer AND xact_start = $2::timestamptz"
      )
      #expect(try other.query(same, parameters).int8(0, 0) == 1)
      try connection.execute("COMMIT")
      #expect(connection.backend == nil)
      try connection.pipeline([(.begin, Parameters()), (Statement("SELECT 1"), Parameters())])
      #expect(try other.query(same, parameters).int8(0, 0) == 0)
      #expect(connection.backend != backend)
    }
  }
}
