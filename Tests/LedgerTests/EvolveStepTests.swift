import Testing

@testable import Ledger

@Suite("How a step's events make its row")
struct EvolveStepTests {
  @Test("created makes the whole row, queued")
  func created() throws {
    try expect(
      Step.self, .created(Step.plan),
      makes: [
        "mission_id": .uuid(Fixed.id(5)), "kind": .text("noop"), "status": .text("queued"),
        "params": .json(#"{"sleep_ms": 5}"#), "executor": .text("noop"), "ordinal": .int(1),
        "needs": .ints([0]), "max_retries": .int(3), "created_at": now, "updated_at": now,
      ])
  }

  @Test("a step that needs none has an empty array, not NULL")
  func noNeeds() throws {
    var plan = Step.plan
    plan.needs = []
    let row = fold([StreamEvent<Step>.own(.created(plan))])
    #expect(row?.needs == [])
  }

  @Test(
    "a lease makes it running, names worker and end, and ends the backoff", arguments: Step.states)
  func leased(state: RowState<Step>) throws {
    try expect(
      .leased(Step.Lease(worker: "host-2", runID: Fixed.id(9), expiresAt: Fixed.time(2000))),
      on: state,
      sets: [
        "status": .text("running"), "reserved_at": now, "leased_by": .text("host-2"),
        "lease_expires_at": .time(Fixed.time(2000)), "not_before": .null, "updated_at": now,
      ])
  }

  @Test("a renewal moves the lease's end", arguments: Step.states)
  func renewed(state: RowState<Step>) throws {
    try expect(
      .renewed(expiresAt: Fixed.time(3000)), on: state,
      sets: ["lease_expires_at": .time(Fixed.time(3000)), "updated_at": now])
  }

  @Test("success sets the result, JSON null and none kept apart", arguments: Step.states)
  func succeeded(state: RowState<Step>) throws {
    for (result, value) in [(nil, Value.null), ("null", .json("null")), ("{}", .json("{}"))] {
      try expect(
        .succeeded(runID: Fixed.id(8), result: result), on: state,
        sets: ["status": .text("succeeded"), "result": value, "updated_at": now])
    }
  }

  @Test(
    "a failed attempt counts and says why, and leaves the status to what follows",
    arguments: Step.states)
  func attemptFailed(state: RowState<Step>) throws {
    var failure = Step.Failure(
      failureClass: .timeout, failureCount: 2, runID: nil, error: "too slow", result: "null")
    try expect(
      .attemptFailed(failure), on: state,
      sets: [
        "failure_count": .int(2), "last_error": .text("too slow"), "result": .json("null"),
        "updated_at": now,
      ])
    (failure.error, failure.result) = (nil, nil)
    try expect(
      .attemptFailed(failure), on: state,
      sets: ["failure_count": .int(2), "last_error": .null, "updated_at": now])
  }

  @Test("a retry queues it again, keeps reserved_at and clears the lease", arguments: Step.states)
  func retryScheduled(state: RowState<Step>) throws {
    for (notBefore, value) in [(nil, Value.null), (Fixed.time(9), .time(Fixed.time(9)))] {
      try expect(
        .retryScheduled(notBefore: notBefore), on: state,
        sets: [
          "status": .text("queued"), "not_before": value, "lease_expires_at": .null,
          "leased_by": .null, "updated_at": now,
        ])
    }
  }

  @Test("a dead letter is failed without a lease, its count kept", arguments: Step.states)
  func deadLettered(state: RowState<Step>) throws {
    try expect(
      .deadLettered(maxRetries: 3), on: state,
      sets: [
        "status": .text("failed"), "lease_expires_at": .null, "leased_by": .null, "updated_at": now,
      ])
  }

  @Test("a skipped step is no dead letter, and names the step that failed", arguments: Step.states)
  func skipped(state: RowState<Step>) throws {
    try expect(
      .skipped(becauseOf: 4), on: state,
      sets: [
        "status": .text("failed"), "failure_count": .int(0),
        "last_error": .text("skipped: step 4 failed"), "updated_at": now,
      ])
  }

  @Test(
    "requeued manually, it starts from nothing but keeps its last result", arguments: Step.states)
  func requeued(state: RowState<Step>) throws {
    try expect(
      .requeued(why: "now"), on: state,
      sets: [
        "status": .text("queued"), "failure_count": .int(0), "last_error": .null,
        "reserved_at": .null, "not_before": .null, "lease_expires_at": .null, "leased_by": .null,
        "updated_at": now,
      ])
  }
}
