import Crypto
import JSON
public import Ledger
public import Log
import Postgres

/// The missions and partitions that the policy would archive now, and the reasons why others stay. Making a plan changes
/// nothing. It needs a store only if log partitions are archived and a hold is on a source or a time.
public struct RetentionPlan: Sendable {
  public enum Reason: String, CaseIterable, Sendable {
    /// Approved or running.
    case open
    /// Younger than the policy asks for, or of a status that stays.
    case young
    case held
    case stepsOpen = "steps open"
    case agentEventsUnprocessed = "agent events unprocessed"
    case reactionsOpen = "reactions open"
  }

  public struct Leaving: Sendable {
    public let mission: StreamID
    public let status: Mission.Status
    public let endedAt: Instant
    let fingerprint: String
  }

  public struct Held: Sendable {
    public let mission: StreamID
    public let hold: StreamID
  }

  /// A log partition whose events are all older than the policy asks for.
  public struct Partition: Sendable {
    public let first: Int64
    public let events: Int64
    /// With its indexes.
    public let bytes: Int64

    public var last: Int64 { EntryNumber.partition(of: first).upperBound }
  }

  public let policy: RetentionPolicy
  /// The time of the plan.
  public let cut: Instant
  public internal(set) var leaving: [Leaving] = []
  /// The number of missions that stay, by reason.
  public internal(set) var staying: [Reason: Int] = [:]
  public internal(set) var held: [Held] = []
  public internal(set) var partitions: [Partition] = []
  /// The rows of the missions and their size, without the rows that led to several missions.
  public internal(set) var rows: Int64 = 0
  public internal(set) var bytes: Int64 = 0

  var planned: [Pruner.Planned] {
    leaving.map { .init(mission: $0.mission, fingerprint: $0.fingerprint) }
  }

  /// The name of the plan: its time, and a hash of what it would archive.
  public var digest: String {
    Self.digest(cut: cut, planned, partitions: partitions.map(\.first))
  }

  static func digest(cut: Instant, _ planned: [Pruner.Planned], partitions: [Int64]) -> String {
    let seconds = cut.micros / 1_000_000
    var text = "opsledger/retention/v1\n\(seconds)\n"
    for one in planned { text += "\(one.mission) \(one.fingerprint)\n" }
    for first in partitions { text += "\(first)\n" }
    return "\(seconds)-" + SHA256.hash(text).hex.prefix(32)
  }

  /// The time that a digest names.
  ///
  /// - Throws: `OPS_019` if the text is not a digest.
  static func cut(of digest: String) throws(OpsError) -> Instant {
    let parts = digest.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, let seconds = Int64(parts[0]), (0...99_999_999_999).contains(seconds),
      parts[1].utf8.count == 32
    else {
      throw OpsError(
        .badInput, "\(digest) is not the digest of a plan",
        hint: "`opsledger retention plan` prints the digest")
    }
    return Instant(micros: seconds * 1_000_000)
  }
}

extension Session {
  /// Plans by the current policy.
  ///
  /// - Parameter cut: The time of the plan; nil: now.
  /// - Throws: `OPS_002` if there is no policy `retention`, `OPS_019` if it cannot be read: nothing is archived then.
  public func retentionPlan(at cut: Instant? = nil) throws(OpsError) -> RetentionPlan {
    let sealed = try sealed()
    let at = if let cut { cut } else { try now() }
    let second = Instant(micros: at.micros / 1_000_000 * 1_000_000)
    var plan = RetentionPlan(policy: try retentionPolicy(), cut: second)
    let parameters = Candidate.parameters(plan.policy, at: second, missions: nil)
    let answers = try query(all: [
      (Candidate.question, parameters), (Self.missionCounts, Parameters()),
    ])
    let candidates = try Candidate.all(answers[0])
    let held = try heldRows(Set(candidates.map(\.mission)))
    for candidate in candidates {
      if let hold = held.hold(on: candidate.mission) {
        plan.staying[.held, default: 0] += 1
        plan.held.append(.init(mission: candidate.mission, hold: hold))
        continue
      }
      if let reason = candidate.reason {
        plan.staying[reason, default: 0] += 1
        continue
      }
      plan.leaving.append(
        .init(
          mission: candidate.mission, status: candidate.status, endedAt: candidate.endedAt,
          fingerprint: candidate.fingerprint))
      plan.rows += candidate.rows
      plan.bytes += candidate.bytes
    }
    let (all, open) = try onDatabase { () throws(PostgresError) in
      (Int(try answers[1].int8(0, 0)), Int(try answers[1].int8(0, 1)))
    }
    if open > 0 { plan.staying[.open] = open }
    let young = all - open - candidates.count
    if young > 0 { plan.staying[.young] = young }
    plan.partitions = try oldPartitions(plan.policy, at: second, sealed: sealed)
    return plan
  }

  func retentionPolicy() throws(OpsError) -> RetentionPolicy {
    let text = try policy(RetentionPolicy.key).value
    guard let value = try? JSON(parsing: text) else {
      throw OpsError(
        .badInput, "policy \(RetentionPolicy.key) is not JSON",
        hint: "see `opsledger policy get \(RetentionPolicy.key)`")
    }
    return try RetentionPolicy(value)
  }

  private static let missionCounts = Statement(
    """
    SELECT count(*), count(*) FILTER (WHERE m.status NOT IN ('succeeded', 'failed'))
    FROM public.ops_missions AS m
    """)

  /// The partitions at the front of the log that are sealed to their ends, and whose events are all old enough.
  private func oldPartitions(
    _ policy: RetentionPolicy, at cut: Instant, sealed: Int64
  ) throws(OpsError) -> [RetentionPlan.Partition] {
    guard let days = policy.logDays else { return [] }
    let bound = cut.adding(seconds: -days * 86_400)
    var partitions: [RetentionPlan.Partition] = []
    let rows = try query(Self.partitions)
    for row in 0..<rows.count {
      let (first, bytes) = try onDatabase { () throws(PostgresError) in
        (try rows.int8(row, 0), try rows.int8(row, 1))
      }
      let last = EntryNumber.partition(of: first).upperBound
      guard last <= sealed else { break }
      var range = Parameters()
      range.int8(first)
      range.int8(last)
      let answer = try query(Self.youngest, range)
      let (events, youngest) = try onDatabase { () throws(PostgresError) in
        (try answer.int8(0, 0), try answer.timestamptzIfPresent(0, 1))
      }
      if let youngest, Instant(micros: youngest) > bound { break }
      partitions.append(.init(first: first, events: events, bytes: bytes))
    }
    return partitions
  }

  private static let partitions = Statement(
    """
    SELECT substring(c.relname FROM 9)::bigint AS first, pg_total_relation_size(c.oid)
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'ledger.events'::regclass AND c.relname ~ '^events_p[0-9]{12,15}$' ORDER BY 1
    """)
  private static let youngest = Statement(
    """
    SELECT count(*), max(e.recorded_at) FROM ledger.events AS e
    WHERE e.entry BETWEEN $1::bigint AND $2::bigint
    """)
}
