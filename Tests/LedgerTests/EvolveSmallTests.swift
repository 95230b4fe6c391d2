import Ledger
import Testing

@Suite("How a run's events make its row")
struct EvolveRunTests {
  @Test("started makes the whole row, its run_id of step and attempt")
  func started() throws {
    try expect(
      Run.self, .started(step: Fixed.id(6), attempt: 2, kind: "no\"op", executor: nil),
      makes: [
        "run_id": .text("\(Fixed.id(6))-2"), "step_id": .uuid(Fixed.id(6)),
        "status": .text("started"), "started_at": now, "meta": .json(#"{"kind": "no\"op"}"#),
      ])
  }

  @Test("succeeded completes it", arguments: Run.states)
  func succeeded(state: RowState<Run>) throws {
    try expect(.succeeded, on: state, sets: ["status": .text("succeeded"), "completed_at": now])
  }

  @Test("failed completes it and keeps class and prospect in meta", arguments: Run.states)
  func failed(state: RowState<Run>) throws {
    try expect(
      .failed(.leaseExpired, retrying: false, error: nil), on: state,
      sets: [
        "status": .text("failed"), "completed_at": now, "error": .null,
        "meta": .json(#"{"kind": "noop", "class": "lease_expired", "retrying": false}"#),
      ])
  }

  @Test("failed gives a meta where a manual change left none, or something else")
  func failedWithoutMeta() throws {
    for meta in [Value.null, .json("null"), .json("[1, 2]"), .json("\"x\"")] {
      let row = try setting(["meta": meta], in: Run.states[0].row)
      try expect(
        .failed(.exit, retrying: true, error: "e"), on: RowState(name: "", row: row),
        sets: [
          "status": .text("failed"), "completed_at": now, "error": .text("e"),
          "meta": .json(#"{"class": "exit", "retrying": true}"#),
        ])
    }
  }
}

@Suite("How a policy's events make its row")
struct EvolvePolicyTests {
  @Test("set makes the row, and changes it as a whole")
  func set() throws {
    try expect(
      Policy.self, .set(key: "loop", value: "null", rollbackTo: 3, why: "calm"),
      makes: ["key": .text("loop"), "value": .json("null"), "updated_at": now])
  }

  @Test("updated_at never goes back, as the clock may")
  func clockBack() throws {
    let later = Value.time(recorded.at.adding(seconds: 1))
    let row = try setting(["updated_at": later], in: Policy.states[0].row)
    try expect(
      .set(key: "loop", value: "1", rollbackTo: nil, why: nil), on: RowState(name: "", row: row),
      sets: ["value": .json("1")])
  }
}

@Suite("How a radar item's events make its row")
struct EvolveRadarTests {
  @Test("added makes the whole row, watched unless said")
  func added() throws {
    try expect(
      Radar.self, .added(Radar.Fields(title: "T", notes: "")),
      makes: [
        "title": .text("T"), "stage": .text("watching"), "notes": .text(""), "created_at": now,
        "updated_at": now,
      ])
    try expect(
      Radar.self, .added(Radar.Fields(stage: .shipped, title: "T", description: "D", notes: "N")),
      makes: [
        "title": .text("T"), "stage": .text("shipped"), "description": .text("D"),
        "notes": .text("N"), "created_at": now, "updated_at": now,
      ])
  }

  @Test("an update changes what it names and leaves the rest", arguments: Radar.states)
  func updated(state: RowState<Radar>) throws {
    try expect(.updated(Radar.Fields()), on: state, sets: ["updated_at": now])
    try expect(
      .updated(Radar.Fields(stage: .building, title: "U", description: "V", notes: "W")),
      on: state,
      sets: [
        "title": .text("U"), "stage": .text("building"), "description": .text("V"),
        "notes": .text("W"), "updated_at": now,
      ])
  }
}

@Suite("How the ledger's own events make its row")
struct EvolveLedgerTests {
  @Test("created makes the row")
  func created() throws {
    try expect(
      LedgerRecord.self, .created(identity: Fixed.id(1), name: "here"),
      makes: [
        "identity": .uuid(Fixed.id(1)), "name": .text("here"), "created_at": now,
        "updated_at": now,
      ])
  }

  @Test("forked gives it the new line's identity")
  func forked() throws {
    let event = LedgerRecord.Event.forked(identity: Fixed.id(2), report: "{}")
    for state in LedgerRecord.states {
      try expect(event, on: state, sets: ["identity": .uuid(Fixed.id(2)), "updated_at": now])
    }
  }

  @Test("everything else that happens to a ledger moves updated_at", arguments: LedgerRecord.states)
  func reports(state: RowState<LedgerRecord>) throws {
    let events: [LedgerRecord.Event] = [
      .migrated(file: "0004_log.sql", sha256: "ab"), .rebuilt(report: "{}"), .moved(report: "{}"),
      .restored(report: "{}"), .forked(identity: nil, report: "{}"),
      .signingKeyChanged(report: "{}"),
      .drilled(report: "{}"),
    ]
    for event in events { try expect(event, on: state, sets: ["updated_at": now]) }
  }
}
