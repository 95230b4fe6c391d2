import JSON
import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// Votes: called, cast, decided once, over when their time is.
@Suite(.needsServer)
struct VotingTests {
  private static let policy = #"""
    {"enabled": true, "thresholds": {"medium": 2}, "required_voters": ["sage"], "veto": true,
     "deadline_minutes": 10}
    """#

  private func called(_ ledger: TestLedger) throws -> (Engine, StreamID) {
    let engine = try ledger.engine()
    try engine.set("voting_policy", Self.policy)
    let outcome = try engine.submit(
      .noops(.fine, risk: "medium"), source: .manual, dedupeKey: nil)
    #expect(outcome.status == .voting)
    return (engine, outcome.proposalID)
  }

  @Test("a vote is called for more than low risk, and only where the policy wants one")
  func calling() throws {
    try TestLedger.with { ledger in
      let (engine, _) = try called(ledger)
      #expect(
        try ledger.lines("SELECT type FROM ops_agent_events") == ["proposal:vote_requested"])
      #expect(try ledger.count("ops_agent_events WHERE processed_at IS NULL") == 0)
      try engine.set("auto_approve", #"{"enabled": false}"#)
      func status(_ risk: String) throws -> Proposal.Status {
        try engine.submit(.noops(.fine, risk: risk), source: .api, dedupeKey: nil).status
      }
      #expect(try status("low") == .pending)
      #expect(try status("high") == .voting)
      try engine.set("voting_policy", #"{"enabled": false}"#)
      #expect(try status("high") == .pending)
      try ledger.execute("UPDATE ops_policy SET value = '[]' WHERE key = 'voting_policy'")
      #expect(try status("high") == .pending)
      #expect(try engine.heartbeat(drain: false).warnings.count == 1)
    }
  }

  @Test("the vote that decides it makes its mission, in one entry; later ones are refused")
  func deciding() throws {
    try TestLedger.with { ledger in
      let (engine, id) = try called(ledger)
      #expect(
        try engine.vote(.approve, on: id, as: "observer", why: nil).consensus
          == .open(approvalsMissing: 1, votersMissing: ["sage"]))
      // What the policy has become meanwhile does not move the goalposts.
      try engine.set("voting_policy", #"{"enabled": true, "thresholds": {"medium": 9}}"#)
      let last = try engine.vote(.approve, on: id, as: "sage", why: "cheap")
      #expect(last.status == .approved)
      #expect(
        try ledger.history("proposal")
          == ["submitted", "vote_called", "vote_cast", "vote_cast", "approved"])
      let entries = try ledger.lines(
        """
        SELECT DISTINCT entry FROM ledger.events WHERE type IN
          ('proposal.approved', 'mission.created', 'step.created')
        """)
      #expect(entries.count == 1)
      let late = #expect(throws: OpsError.self) {
        try engine.vote(.reject, on: id, as: "quill", why: nil)
      }
      #expect(late?.code == .conflict)
      #expect(try engine.approve(id, why: nil) == last.missionID)
      try ledger.expectEqual()
    }
  }

  @Test("a role that votes again changes its vote; a veto rejects")
  func changing() throws {
    try TestLedger.with { ledger in
      let (engine, id) = try called(ledger)
      _ = try engine.vote(.approve, on: id, as: "sage", why: nil)
      _ = try engine.vote(.abstain, on: id, as: "sage", why: nil)
      #expect(try ledger.count("ops_proposal_votes WHERE vote = 'abstain'") == 1)
      let vetoed = try engine.vote(.reject, on: id, as: "quill", why: "too dear")
      #expect(vetoed.status == .rejected)
      #expect(
        try ledger.lines("SELECT reason FROM ops_mission_proposals")
          == ["vetoed by quill: too dear"])
      #expect(try ledger.count("ops_missions") == 0)
      try ledger.expectEqual()
    }
  }

  @Test("a vote with a time that cannot be read does not hide the other votes")
  func oddTimes() throws {
    try TestLedger.with { ledger in
      let (engine, id) = try called(ledger)
      _ = try engine.vote(.approve, on: id, as: "sage", why: nil)
      for odd in ["2026-02-30T10:00:00Z", "0000-01-01T00:00:00Z", "infinity", "x", ""] {
        try ledger.execute(
          """
          UPDATE ops_mission_proposals
          SET votes = votes || '{"quill": {"vote": "abstain", "created_at": "\(odd)"}}'
          """)
        #expect(try ledger.count("ops_proposal_votes") == 2, "\(odd)")
        #expect(
          try ledger.count("ops_proposal_votes WHERE agent_role = 'sage' AND created_at < now()")
            == 1)
      }
    }
  }

  @Test("a vote is over when its deadline has passed: by the heartbeat, or by who comes too late")
  func expiring() throws {
    try TestLedger.with { ledger in
      let (engine, id) = try called(ledger)
      #expect(try engine.heartbeat(drain: false).votesExpired == 0)
      try ledger.moveClock(seconds: 601)
      let late = #expect(throws: OpsError.self) {
        try engine.vote(.approve, on: id, as: "sage", why: nil)
      }
      #expect(late?.code == .conflict)
      #expect(try ledger.history("proposal") == ["submitted", "vote_called", "vote_expired"])
      let other = try engine.submit(
        .noops(.fine, risk: "medium"), source: .manual, dedupeKey: nil)
      try ledger.moveClock(seconds: 599)
      #expect(try engine.heartbeat(drain: false).votesExpired == 0)
      try ledger.moveClock(seconds: 2)
      #expect(try engine.heartbeat(drain: false).votesExpired == 1)
      #expect(try ledger.count("ops_mission_proposals WHERE status = 'pending'") == 2)
      _ = try engine.approve(other.proposalID, why: "late but good")
      try ledger.expectEqual()
    }
  }

  @Test("a person decides what is voted over; what a manual change made voting can be voted over")
  func beside() throws {
    try TestLedger.with { ledger in
      let (engine, id) = try called(ledger)
      let mission = try engine.approve(id, why: "now")
      #expect(try ledger.count("ops_missions WHERE id = '\(mission)'") == 1)
      try ledger.execute(
        """
        INSERT INTO ops_mission_proposals (id, source, status, template, policy_snapshot)
        VALUES ('\(StreamID(high: 7, low: 7))', 'manual', 'voting',
          '{"steps": [{"kind": "noop"}]}', '{"vote": {"deadline": 7}}')
        """)
      #expect(try engine.heartbeat(drain: false).votesExpired == 0)
      let manual = StreamID(high: 7, low: 7)
      _ = try engine.vote(.approve, on: manual, as: "sage", why: nil)
      #expect(try engine.vote(.approve, on: manual, as: "quill", why: nil).status == .approved)
      try ledger.expectEqual()
    }
  }

  @Test("only roles that the policies named when the vote was called may vote, and count")
  func strangers() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      try engine.set(
        "voting_policy",
        #"{"enabled": true, "thresholds": {"medium": 2}, "required_voters": ["ann"], "veto": true}"#
      )
      try engine.set("agent_roles", #"{"sage": {}, "quill": {}}"#)
      let outcome = try engine.submit(
        .noops(.fine, risk: "medium"), source: .manual, dedupeKey: nil)
      let id = outcome.proposalID
      // Who becomes a role later has no vote in this one; who is none any more keeps it.
      try engine.set("agent_roles", #"{"bob": {}}"#)
      for stranger in ["bob", "Sage", "sage ", "x"] {
        let refused = #expect(throws: OpsError.self) {
          try engine.vote(.approve, on: id, as: stranger, why: nil)
        }
        #expect(refused?.code == .notAllowed, "\(stranger)")
      }
      #expect(try ledger.history("proposal") == ["submitted", "vote_called"])
      // What a manual change writes into the row does not count either, neither for nor against it.
      try ledger.execute(
        """
        UPDATE ops_mission_proposals SET votes = '{"bob": {"vote": "approve"}, "eve": {"vote": "reject"}}'
        """)
      #expect(
        try engine.vote(.approve, on: id, as: "sage", why: nil).consensus
          == .open(approvalsMissing: 1, votersMissing: ["ann"]))
      #expect(try engine.vote(.approve, on: id, as: "ann", why: nil).status == .approved)
      try ledger.expectEqual()
    }
  }

  @Test("the seeded policies name each required voter as a role")
  func seeded() throws {
    try TestLedger.with { ledger in
      let strangers = try ledger.lines(
        """
          SELECT v FROM ops_policy AS p, jsonb_array_elements_text(p.value->'required_voters') AS v
          WHERE p.key = 'voting_policy' AND NOT EXISTS (SELECT FROM ops_policy AS r
            WHERE r.key = 'agent_roles' AND r.value ? v)
        """)
      #expect(strangers.isEmpty)
    }
  }

  @Test("eight who vote and approve at once make one mission")
  func atOnceOneMission() throws {
    try TestLedger.with { ledger in
      let (_, id) = try called(ledger)
      _ = try atOnce(8) { number in
        let engine = try ledger.engine()
        do {
          if number < 4 {
            _ = try engine.vote(
              .approve, on: id, as: ["sage", "observer", "quill", "scout"][number], why: nil)
          } else {
            _ = try engine.approve(id, why: nil)
          }
        } catch let error as OpsError {
          #expect(error.code == .conflict)
        }
      }
      #expect(try ledger.count("ops_missions") == 1)
      try ledger.expectEqual()
    }
  }
}
