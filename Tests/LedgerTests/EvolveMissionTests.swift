import Ledger
import Testing

@Suite("How a mission's events make its row")
struct EvolveMissionTests {
  @Test("created makes the whole row, approved and not started")
  func created() throws {
    try expect(
      Mission.self, .created(proposal: Fixed.id(4), policySnapshot: "null"),
      makes: [
        "proposal_id": .uuid(Fixed.id(4)), "status": .text("approved"), "started_at": .null,
        "policy_snapshot": .json("null"), "created_at": now, "updated_at": now,
      ])
    try expect(
      Mission.self, .created(proposal: Fixed.id(4), policySnapshot: nil),
      makes: ["proposal_id": .uuid(Fixed.id(4)), "created_at": now, "updated_at": now])
  }

  @Test("started sets it running, from now", arguments: Mission.states)
  func started(state: RowState<Mission>) throws {
    try expect(
      .started, on: state,
      sets: ["status": .text("running"), "started_at": now, "updated_at": now])
  }

  @Test("succeeded and failed complete it", arguments: Mission.states)
  func completed(state: RowState<Mission>) throws {
    try expect(
      .succeeded, on: state,
      sets: ["status": .text("succeeded"), "completed_at": now, "updated_at": now])
    try expect(
      .failed(step: Fixed.id(6)), on: state,
      sets: ["status": .text("failed"), "completed_at": now, "updated_at": now])
  }

  @Test("reopened runs on and keeps when it started", arguments: Mission.states)
  func reopened(state: RowState<Mission>) throws {
    try expect(
      .reopened(step: Fixed.id(6)), on: state,
      sets: ["status": .text("running"), "completed_at": .null, "updated_at": now])
  }

  @Test("updated_at never goes back, as the clock may")
  func clockBack() throws {
    let later = Value.time(recorded.at.adding(seconds: 3600))
    let row = try setting(["updated_at": later], in: Mission.states[0].row)
    try expect(
      .succeeded, on: RowState(name: "", row: row),
      sets: ["status": .text("succeeded"), "completed_at": now, "updated_at": later])
  }
}
