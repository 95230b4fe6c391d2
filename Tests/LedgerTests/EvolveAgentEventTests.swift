import Ledger
import Testing

@Suite("How an agent event's events make its row")
struct EvolveAgentEventTests {
  @Test("reported makes the whole row, unprocessed")
  func reported() throws {
    try expect(
      AgentEvent.self, .reported(AgentEvent.report, processed: false),
      makes: [
        "type": .text("scout:find"), "data": .json(#"{"tags": ["x"]}"#),
        "dedupe_key": .text("find-1"), "mission_id": .uuid(Fixed.id(7)),
        "thought": .text("worth a look"), "created_at": now, "processed_at": .null,
      ])
  }

  @Test("one that is born processed was processed when it was reported")
  func bornProcessed() throws {
    try expect(
      AgentEvent.self, .reported(AgentEvent.Report(type: "a:b", data: "null"), processed: true),
      makes: [
        "type": .text("a:b"), "data": .json("null"), "created_at": now, "processed_at": now,
      ])
  }

  @Test("processed sets the time and nothing else", arguments: AgentEvent.states)
  func processed(state: RowState<AgentEvent>) throws {
    try expect(.processed([]), on: state, sets: ["processed_at": now])
  }
}
