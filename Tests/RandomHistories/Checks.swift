import Ledger
import Log
import OpsLoop
import Postgres
import Replay
import TestLedgers

/// What must hold after a seed, whatever happened in it.
struct Checks {
  let connection: Connection
  let ledger: TestLedger

  /// Whether all played in turn: then what is recorded later was done later, to the entry.
  let inTurn: Bool

  /// What holds whenever nobody is at work.
  func runAtRest() throws { try hold(Rules.atRest) }

  func run(_ promises: World.Promises) throws {
    let report = try ledger.verify()
    guard report.isEqual else {
      throw TestFailure("replay differs from the tables: \(report.differences.prefix(5))")
    }
    try hold(Rules.always + (inTurn ? Rules.inTurn : []))
    try compareEmitted(promises)
    try compareSubmitted(promises)
    try compareApproved(promises)
    try compareLeases(promises)
    try compareOutcomes(promises)
    try compareRequeued(promises)
    try compareChanged(promises)
  }

  /// Rules ask much of the log. A copy has one partition, statistics and indexes for what they ask.
  private func copyLog() throws {
    try connection.execute(
      """
      TRUNCATE public.history; INSERT INTO public.history SELECT * FROM ledger.events;
      ANALYZE public.history
      """)
  }

  private func hold(_ rules: [(String, String)]) throws {
    try copyLog()
    for (rule, query) in rules {
      let rows = try connection.query(Statement(query))
      guard rows.count == 0 else {
        throw TestFailure("\(rule): \(try rows.text(0, 0)) and \(rows.count - 1) more")
      }
    }
  }

  private func found(_ query: String) throws -> [String: [StreamID]] {
    let rows = try connection.query(Statement(query))
    var found: [String: [StreamID]] = [:]
    for row in 0..<rows.count {
      found[try rows.text(row, 0), default: []].append(StreamID(try rows.uuid(row, 1)))
    }
    return found
  }

  private func compareEmitted(_ promises: World.Promises) throws {
    let found = try found(
      "SELECT data->>'mark', id FROM public.ops_agent_events WHERE data->>'mark' IS NOT NULL")
    for (mark, answer) in promises.emitted {
      let there = found[mark] ?? []
      if let answer {
        let right = answer.isDuplicate ? there.isEmpty : there == [answer.eventID]
        guard right else { throw TestFailure("\(mark) was answered \(answer), and is \(there)") }
      } else if there.count > 1 {
        throw TestFailure("\(mark) was recorded \(there.count) times")
      }
    }
  }

  private func compareSubmitted(_ promises: World.Promises) throws {
    let found = try found(
      """
      SELECT p.template->>'title', p.id FROM public.ops_mission_proposals AS p
      WHERE NOT EXISTS (SELECT FROM public.ops_agent_reactions AS r
        WHERE r.payload->'result'->>'proposal_id' = p.id::text)
        AND p.template->>'title' IS NOT NULL
      """)
    for (mark, answer) in promises.submitted {
      let there = found[mark] ?? []
      guard there.count <= 1 else { throw TestFailure("\(mark) was proposed \(there.count) times") }
      guard let answer, there.first != answer.proposalID else { continue }
      // Its key was taken: the answer is an older proposal.
      let known = found.values.contains { $0.contains(answer.proposalID) }
      guard there.isEmpty, known else {
        throw TestFailure("\(mark) was answered \(answer), and is \(there)")
      }
    }
  }

  private func compareApproved(_ promises: World.Promises) throws {
    let missions = try found("SELECT proposal_id::text, id FROM public.ops_missions")
    for (proposal, named) in promises.approved where missions[proposal.description] != Array(named)
    {
      throw TestFailure("the mission of \(proposal) was answered as \(named)")
    }
  }

  private func compareLeases(_ promises: World.Promises) throws {
    let rows = try connection.query(
      Statement("SELECT data->>'run_id', version FROM ledger.events WHERE type = 'step.leased'"))
    var versions: [String: Int32] = [:]
    for row in 0..<rows.count { versions[try rows.text(row, 0)] = try rows.int4(row, 1) }
    for (run, version) in promises.leased where versions[run.description] != version {
      throw TestFailure("the lease of run \(run) was answered as version \(version), and is not")
    }
  }

  private func compareOutcomes(_ promises: World.Promises) throws {
    let rows = try connection.query(
      Statement(
        """
        SELECT data->>'run_id' FROM ledger.events
        WHERE type IN ('step.succeeded', 'step.attempt_failed')
          AND data->>'class' IS DISTINCT FROM 'lease_expired'
        """))
    var recorded: [String: Int] = [:]
    for row in 0..<rows.count { recorded[try rows.text(row, 0), default: 0] += 1 }
    for run in Set(promises.outcomes.keys).union(promises.doubtful.keys) {
      let (there, told) = (recorded[run.description] ?? 0, promises.outcomes[run] ?? 0)
      let doubt = (promises.doubtful[run] ?? 0) > 0
      guard there == told || doubt && there == told + 1 else {
        throw TestFailure("run \(run): \(told) outcomes were answered, \(there) are recorded")
      }
    }
  }

  /// How many events of a type gave each reason.
  private func reasons(_ type: String) throws -> [String: Int] {
    let rows = try connection.query(
      Statement(
        """
        SELECT content->>'why', count(*) FROM ledger.events
        WHERE type = $1::text AND content->>'why' IS NOT NULL GROUP BY 1
        """), .texts(type))
    var counts: [String: Int] = [:]
    for row in 0..<rows.count { counts[try rows.text(row, 0)] = Int(try rows.int8(row, 1)) }
    return counts
  }

  private func compareRequeued(_ promises: World.Promises) throws {
    let there = try reasons("step.requeued")
    for (mark, told) in promises.requeued {
      guard let told, told != there[mark] ?? 0 else { continue }
      throw TestFailure("\(mark) was told of \(told) requeued steps; \(there[mark] ?? 0) were")
    }
  }

  private func compareChanged(_ promises: World.Promises) throws {
    let there = try reasons("policy.set")
    for (mark, told) in promises.changed {
      let count = there[mark] ?? 0
      guard told.map({ count == ($0 ? 1 : 0) }) ?? (count <= 1) else {
        throw TestFailure("\(mark) was answered \(told ?? false), and is recorded \(count) times")
      }
    }
  }
}
