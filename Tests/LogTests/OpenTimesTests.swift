import JSON
import Ledger
import OpsLoop
import TestLedgers
import Testing

@testable import Log

@Suite(
  "When missions were open",
  .enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing)))
struct OpenTimesTests {
  @Test(
    "the database says of every event what Mission.openMoments says of it, and they change what is said"
  )
  func sqlIsSwift() throws {
    try TestLedger.with { ledger in
      let ids = (1...40).map { StreamID(high: 1, low: $0) }
      var (inserts, changes) = ("", "")
      for (number, id) in ids.enumerated() {
        let status = ["approved", "running", "succeeded", "failed"][number % 4]
        let completed = number % 3 == 0 ? "NULL" : "'2001-02-03T00:00:00Z'"
        inserts += """
          INSERT INTO ops_missions (id, status, created_at, completed_at, updated_at)
            VALUES ('\(id)', '\(status)', '2001-01-0\(1 + number % 9)Z', \(completed), '2001-03-01Z');
          """
        let change =
          switch number / 4 {
          case 0: "UPDATE ops_missions SET status = 'running'"
          case 1: "UPDATE ops_missions SET created_at = '1999-01-01Z'"
          case 2: "UPDATE ops_missions SET completed_at = '2090-01-01Z'"
          case 3: "UPDATE ops_missions SET completed_at = 'infinity', created_at = '-infinity'"
          case 4: "UPDATE ops_missions SET completed_at = NULL"
          case 5: "UPDATE ops_missions SET policy_snapshot = '{}'"
          case 6: "DELETE FROM ops_missions"
          default: "UPDATE ops_missions SET started_at = '1990-01-01Z'"
          }
        changes += "\(change) WHERE id = '\(id)';"
      }
      try ledger.execute(inserts)
      try ledger.execute(changes)
      let engine = try ledger.engine()
      _ = try engine.setPolicy(
        "reaction_matrix",
        to: JSON(
          parsing: #"""
            {"patterns": [{"id": "a", "event_type": "a", "template": {"risk_level": "low",
              "steps": [{"kind": "noop"}]}}, {"id": "b", "event_type": "b", "template": {"risk_level": "low",
              "steps": [{"kind": "noop", "params": {"error": "no"}, "max_retries": 1}]}}]}
            """#), why: "test")
      for type in ["a", "b"] { _ = try engine.emit(AgentEvent.Report(type: type, data: "{}")) }
      _ = try engine.heartbeat(drain: true) { _ in }
      func work() throws {
        _ = try Worker(
          engine, Worker.Options(name: "host-1"), shouldStop: { false }, report: { _ in }
        ).run()
      }
      try work()
      let dead = try #require(
        StreamID(ledger.value("SELECT id FROM ops_mission_steps WHERE status = 'failed'")))
      _ = try engine.retry(dead, why: "again")
      try work()

      let session = try ledger.session()
      var expected: [StreamID: ClosedRange<Instant>] = [:]
      var kinds: Set<String> = []
      try session.log(LogQuery(limit: .max, keeps: .first)) { event in
        guard event.type.hasPrefix("mission."),
          let kind = StreamEvent<Mission>.Kind(String(event.type.dropFirst(8)))
        else { return }
        kinds.insert(kind.suffix)
        let reader = JSONReader()
        var data = event.data
        let moments = data.withUTF8 { bytes -> [Instant] in
          let payload = Payload(
            data: reader.fields(UnsafeRawBufferPointer(bytes)) ?? .none, content: .none)
          guard let event2 = try? StreamEvent<Mission>(kind, from: payload) else { return [] }
          return Mission.openMoments(event2, at: event.recordedAt)
        }
        for moment in moments {
          let past = expected[event.stream] ?? moment...moment
          expected[event.stream] = min(past.lowerBound, moment)...max(past.upperBound, moment)
        }
      }
      #expect(
        kinds.isSuperset(of: [
          "created", "started", "succeeded", "failed", "reopened", "inserted", "amended", "removed",
        ]), "\(kinds)")
      let found = try session.openTimes(Set(expected.keys))
      #expect(found == expected)
    }
  }
}
