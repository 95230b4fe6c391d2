import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers

/// What must hold after a seed, whatever happened in it.
struct Checks {
  let connection: Connection
  let ledger: TestLedger

  func run(_ promises: World.Promises) throws {
    let report = try ledger.verify()
    guard report.isEqual else {
      throw TestFailure("replay differs from the tables: \(report.differences.prefix(5))")
    }
    for (rule, query) in Self.rules {
      let rows = try connection.query(Statement(query))
      guard rows.count == 0 else {
        throw TestFailure("\(rule): \(try rows.text(0, 0)) and \(rows.count - 1) more")
      }
    }
    try compareEmitted(promises)
    try compareSubmitted(promises)
    try compareApproved(promises)
    try compareLeases(promises)
    try compareOutcomes(promises)
  }

  /// Each finds what breaks it.
  private static let rules: [(String, String)] = [
    (
      "versions of a stream are contiguous",
      """
      SELECT stream::text FROM ledger.events GROUP BY stream
      HAVING max(version) <> count(*) OR min(version) <> 1
      """
    ),
    (
      "within a stream, entries come in the order of versions",
      """
      SELECT stream::text FROM (SELECT stream, entry, index, lag((entry, index)) OVER (
        PARTITION BY stream ORDER BY version) AS before FROM ledger.events) AS e
      WHERE (entry, index) <= before
      """
    ),
    (
      "a proposal has one mission",
      """
      SELECT proposal_id::text FROM ops_missions GROUP BY proposal_id HAVING count(*) > 1
      """
    ),
    (
      "a proposal has a mission where it is approved, and only then",
      """
      SELECT p.id::text FROM ops_mission_proposals AS p LEFT JOIN ops_missions AS m
        ON m.proposal_id = p.id
      WHERE (p.status IN ('approved', 'auto_approved')) <> (m.id IS NOT NULL)
      """
    ),
    (
      "a step ends once",
      """
      SELECT stream::text FROM ledger.events WHERE type IN ('step.succeeded', 'step.dead_lettered',
        'step.skipped') GROUP BY stream HAVING count(*) > 1
      """
    ),
    (
      "a lease has one outcome",
      """
      SELECT data->>'run_id' FROM ledger.events
      WHERE type IN ('step.succeeded', 'step.attempt_failed') AND data->>'run_id' IS NOT NULL
      GROUP BY data->>'run_id' HAVING count(*) > 1
      """
    ),
    (
      "an outcome follows its own lease",
      """
      SELECT o.stream::text FROM ledger.events AS o
      WHERE o.type IN ('step.succeeded', 'step.attempt_failed') AND o.data->>'run_id' IS DISTINCT FROM (
        SELECT l.data->>'run_id' FROM ledger.events AS l WHERE l.stream = o.stream
          AND l.type = 'step.leased' AND l.version < o.version ORDER BY l.version DESC LIMIT 1)
      """
    ),
    (
      "a run ends with its step's attempt, in the same entry",
      """
      SELECT r.stream::text FROM ledger.events AS r
      WHERE r.type IN ('run.succeeded', 'run.failed') AND NOT EXISTS (
        SELECT FROM ledger.events AS s WHERE s.entry = r.entry
          AND s.data->>'run_id' = r.stream::text
          AND s.type = CASE r.type WHEN 'run.succeeded' THEN 'step.succeeded'
            ELSE 'step.attempt_failed' END)
      """
    ),
    (
      "no step starts before those that it needs have succeeded",
      """
      SELECT s.id::text FROM ops_mission_steps AS s CROSS JOIN unnest(s.needs) AS n(ordinal)
        JOIN ops_mission_steps AS p ON p.mission_id = s.mission_id AND p.ordinal = n.ordinal
        JOIN ledger.events AS l ON l.stream = s.id AND l.type = 'step.leased'
      WHERE NOT EXISTS (SELECT FROM ledger.events AS d WHERE d.stream = p.id
        AND d.type = 'step.succeeded' AND d.entry < l.entry)
      """
    ),
    (
      "a mission has succeeded where all its steps have, and failed where one is dead",
      """
      SELECT m.id::text FROM ops_missions AS m JOIN LATERAL (
        SELECT bool_and(s.status = 'succeeded') AS done,
          bool_or(s.status = 'failed' AND s.failure_count > 0) AS dead
        FROM ops_mission_steps AS s WHERE s.mission_id = m.id) AS s ON true
      WHERE s.done <> (m.status = 'succeeded') OR s.dead <> (m.status = 'failed')
      """
    ),
    (
      "a mission ends once",
      """
      SELECT stream::text FROM ledger.events WHERE type IN ('mission.succeeded', 'mission.failed')
      GROUP BY stream HAVING count(*) > 1
      """
    ),
    (
      "nothing is recorded that no command did",
      """
      SELECT type FROM ledger.events WHERE type LIKE '%.amended' OR type LIKE '%.inserted'
        OR type LIKE '%.removed' OR command IS NULL
      """
    ),
    (
      "an agent event is processed once",
      """
      SELECT stream::text FROM ledger.events WHERE type = 'agent_event.processed'
      GROUP BY stream HAVING count(*) > 1
      """
    ),
    (
      "a reaction is done or failed once",
      """
      SELECT stream::text FROM ledger.events WHERE type IN ('reaction.done', 'reaction.failed')
      GROUP BY stream HAVING count(*) > 1
      """
    ),
  ]

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
      "SELECT data->>'mark', id FROM ops_agent_events WHERE data->>'mark' IS NOT NULL")
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
      SELECT p.template->>'title', p.id FROM ops_mission_proposals AS p
      WHERE NOT EXISTS (SELECT FROM ops_agent_reactions AS r
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
    let missions = try found("SELECT proposal_id::text, id FROM ops_missions")
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
}
