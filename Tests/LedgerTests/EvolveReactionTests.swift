import JSON
import Ledger
import TestSupport
import Testing

@Suite("How a reaction's events make its row")
struct EvolveReactionTests {
  @Test("queued makes the whole row, its payload in jsonb's spelling")
  func queued() throws {
    try expect(
      Reaction.self, .queued(Reaction.intent),
      makes: [
        "event_id": .uuid(Fixed.id(3)), "status": .text("queued"), "created_at": now,
        "updated_at": now,
        "payload": .json(
          #"{"dedupe_key": "find-1:p1", "event_type": "scout:find", "pattern_id": "p1", "#
            + #""proposal_source": "trigger", "proposal_template": {"steps": [{"kind": "noop"}]}}"#),
      ])
  }

  @Test("done sets the result that the origin's function returned", arguments: Reaction.states)
  func done(state: RowState<Reaction>) throws {
    let result = try JSON(
      parsing: #"{"r_proposal_id": "\#(Fixed.id(4))", "r_mission_id": "\#(Fixed.id(5))", "#
        + #""r_status": "auto_approved", "r_reason": null}"#)
    try expect(
      .done(Reaction.outcome), on: state,
      sets: [
        "status": .text("done"), "updated_at": now,
        "payload": try payload(state.row, "result", result),
      ])
  }

  @Test("failed sets the error", arguments: Reaction.states)
  func failed(state: RowState<Reaction>) throws {
    try expect(
      .failed(code: "OPS_005", error: "no executor \"x\""), on: state,
      sets: [
        "status": .text("failed"), "updated_at": now,
        "payload": try payload(state.row, "error", .string("no executor \"x\"")),
      ])
  }

  @Test("retried queues it again and takes error and result out", arguments: Reaction.states)
  func retried(state: RowState<Reaction>) throws {
    var row = state.row
    guard case .json(let withoutError) = try payload(row, "error", nil) else { return }
    row.payload = withoutError
    try expect(
      .retried(why: "mended"), on: state,
      sets: [
        "status": .text("queued"), "updated_at": now, "payload": try payload(row, "result", nil),
      ])
  }

  private func payload(_ row: Reaction, _ key: String, _ value: JSON?) throws -> Value {
    var members = try #require(JSON(parsing: row.payload).objectValue)
    members[key] = value
    return .json(JSON.object(members).text)
  }

  @Test("only what came to nothing is retried", arguments: Reaction.states)
  func decideRetry(state: RowState<Reaction>) throws {
    var draft = Draft(at: Fixed.time(9), ids: IDSource(seed: (1, 2)))
    try draft.load(state.row, as: state.row.id)
    if state.row.mayBeRetried {
      try draft.retry(state.row, why: "mended")
      #expect(draft.events.map(\.type) == ["reaction.retried"])
      #expect(draft.row(state.row.id, of: Reaction.self)?.status == .queued)
    } else {
      expectRefusal(.conflict) { try draft.retry(state.row, why: "mended") }
      #expect(draft.events.isEmpty)
    }
  }

  @Test("a reaction whose template was erased is not retried")
  func retryErased() throws {
    var row = try #require(Reaction.states.first { $0.row.status == .failed }).row
    row.eraseContent()
    var draft = Draft(at: Fixed.time(9), ids: IDSource(seed: (1, 2)))
    try draft.load(row, as: row.id)
    let refused = #expect(throws: OpsError.self) { try draft.retry(row, why: nil) }
    #expect(refused?.code == .erased)
  }

  @Test(
    "a payload that a manual change wrote takes its result in jsonb's spelling",
    arguments: [
      "{}", "[1]", "null", #"{"a": 1}"#, #"{"error": 1}"#, #"{"abcdef": 1}"#, #"{"abcdefg": 1}"#,
      #"{"\n\n\n": 1, "error": 2}"#, #"{"\u0001": 1, "error": 2}"#, #"{"a\"bcde": 1}"#,
      #"{"\\\\\\\\": 1}"#, #"{"ééé": 1}"#, #"{"zzzzzzzz": {"error": 1}}"#,
    ])
  func handMade(text: String) throws {
    let state = RowState(name: "", row: try setting(["payload": .json(text)], in: Self.queued))
    let members = try JSON(parsing: text).objectValue ?? [:]
    try expect(
      .failed(code: "x", error: "e"), on: state,
      sets: [
        "status": .text("failed"), "updated_at": now,
        "payload": .json(
          JSON.object(members.merging(["error": .string("e")]) { $1 }).text),
      ])
  }

  private static let queued = Reaction.states[0].row

  @Test("updated_at never goes back, as the clock may")
  func clockBack() throws {
    let later = Value.time(recorded.at.adding(milliseconds: 1))
    let state = RowState(name: "", row: try setting(["updated_at": later], in: Self.queued))
    try expect(.retried(why: nil), on: state, sets: ["updated_at": later])
  }
}
