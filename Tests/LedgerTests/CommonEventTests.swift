import JSON
import Ledger
import TestSupport
import Testing

@Suite("The six events that every row_type has")
struct CommonEventTests {
  @Test("the ledger's own row is neither archived nor restored nor erased by them")
  func kinds() {
    for rowType in RowType.allCases {
      let common = rowType.sampled.types.filter { type in
        ["inserted", "amended", "removed", "archived", "erased"].contains {
          type.hasSuffix("." + $0)
        }
      }
      #expect(common.count == (rowType == .ledger ? 3 : 5), "\(rowType)")
    }
  }

  @Test("what a manual change inserts is the row, column by column", arguments: RowType.allCases)
  func inserted(rowType: RowType) throws {
    try checkInserted(rowType.sampled)
  }

  private func checkInserted<R: Sampled>(_: R.Type) throws {
    for seed in Seeds.some(50) {
      var generator = Generator(seed: seed)
      let values = R.sampleColumns(&generator)
      for event in [CommonEvent<R>.inserted(values), .restored(values)] {
        guard R.name != .ledger || event.kind == .inserted else { continue }
        let row = try #require(fold([try StreamEvent.common(event).reread()], after: 41))
        for value in values where value.column != "version" {
          let column = try #require(R.column(named: value.column))
          #expect(column.get(row).same(as: value.value), "\(value.column), seed \(seed)")
        }
        #expect(row.version == 42)
      }
    }
  }

  @Test(
    "an amendment changes the columns that it names and the version", arguments: RowType.allCases)
  func amended(rowType: RowType) throws {
    try checkAmended(rowType.sampled)
  }

  private func checkAmended<R: Sampled>(_: R.Type) throws {
    for state in R.states {
      var generator = Generator(seed: 11)
      for column in R.columns.dropFirst() where column.name != "version" {
        let value = R.sampleValue(column, &generator)
        let event = StreamEvent<R>.common(
          .amended([ColumnChange(column.name, from: column.get(state.row), to: value)]))
        var row: R? = state.row
        R.evolve(&row, try event.reread(), recorded)
        var expected = try setting([column.name: value], in: state.row)
        expected.version = recorded.version
        #expect(differences(row, expected) == [], "\(state.name)")
      }
    }
  }

  @Test("what leaves leaves no row, and what comes back goes on from its version")
  func leaving() throws {
    for rowType in RowType.allCases { try checkLeaving(rowType.sampled) }
  }

  private func checkLeaving<R: Sampled>(_: R.Type) throws {
    var generator = Generator(seed: 5)
    let first = StreamEvent<R>.common(.inserted(R.sampleColumns(&generator)))
    let second = R.sampleColumns(&generator)
    for gone in [CommonEvent<R>.removed, .archived(segment: "segments/1-9.lz4")] {
      guard R.name != .ledger || gone.kind == .removed else { continue }
      #expect(differences(fold([first, .common(gone)]), nil) == [])
      let back = try #require(fold([first, .common(gone), .common(.inserted(second))]))
      #expect(back.version == 3)
      let alone = try #require(fold([StreamEvent<R>.common(.inserted(second))], after: 2))
      #expect(differences(back, alone) == [])
    }
  }

  @Test("a row comes back whole, not mixed with the one before")
  func insertedOverARow() {
    let row = fold([
      StreamEvent<Radar>.own(.added(Radar.Fields(title: "a", notes: "old"))),
      .common(.inserted([ColumnValue("title", .text("b"))])),
    ])
    #expect(row?.title == "b")
    #expect(row?.notes == nil)
    #expect(row?.version == 2)
  }

  @Test("only events that make a row make one of nothing", arguments: RowType.allCases)
  func onNothing(rowType: RowType) throws {
    try checkOnNothing(rowType.sampled)
  }

  private func checkOnNothing<R: Sampled>(_: R.Type) throws {
    let creating = Set(R.creating.map(\.rawValue) + ["inserted", "restored"])
    for seed in Seeds.some(20) {
      var generator = Generator(seed: seed)
      for kind in StreamEvent<R>.Kind.all {
        var row: R?
        R.evolve(&row, R.sample(kind, &generator), recorded)
        let isOwnRestored = R.name == .ledger && kind.suffix == "restored"
        #expect(
          (row != nil) == (creating.contains(kind.suffix) && !isOwnRestored), "\(kind.suffix)")
      }
    }
  }

  // MARK: JSON null and SQL NULL

  @Test(
    "a json column keeps NULL, null and {\"json\": …} apart, in a row and in a change",
    arguments: [
      nil, "null", "{}", #"{"json": null}"#, #"{"json": 1}"#, #"{"json": {"json": null}}"#,
      #"{"json": {"json": {"json": []}}}"#, #"{"a": 1, "json": 2}"#, #"["json"]"#, #""json""#,
      "[null]", "[1, 2]", #"[null, {"json": null}]"#, #"{"json": "}"}"#, #"{"json": "\"}"}"#,
    ])
  func jsonNull(text: String?) throws {
    let value = text.map(Value.json) ?? .null
    let inserted = try StreamEvent<Step>.common(
      .inserted([ColumnValue("result", value)])
    ).reread()
    #expect(fold([inserted])?.result == text)

    let amended = try StreamEvent<Step>.common(
      .amended([ColumnChange("result", from: value, to: value)])
    ).reread()
    guard case .common(.amended(let changes)) = amended else {
      Issue.record("not an amendment")
      return
    }
    #expect(changes.count == 1)
    #expect(changes.allSatisfy { $0.from.same(as: value) && $0.to.same(as: value) })

    // Structure, under `columns`; and the values of the row types' own events.
    let mission = try StreamEvent<Mission>.common(
      .inserted([ColumnValue("policy_snapshot", value)])
    ).reread()
    #expect(fold([mission])?.policySnapshot == text)
    let created = try StreamEvent<Mission>.own(
      .created(proposal: Fixed.id(1), policySnapshot: text)
    ).reread()
    #expect(fold([created])?.policySnapshot == text)
    let succeeded = try StreamEvent<Step>.own(
      .succeeded(runID: Fixed.id(1), result: text)
    ).reread()
    #expect(fold(Step.histories[0].events + [succeeded])?.result == text)
  }

  @Test(
    "a wrapped value is unwrapped in whatever spacing it was written",
    arguments: [
      (#"{"json": null}"#, "null"), (#"{"json":null}"#, "null"), (#"{"json" : null}"#, "null"),
      ("{\"json\"\n:\t{\"json\":1}\n}", #"{"json":1}"#), (#"{"json":[]}"#, "[]"),
      (#"{"json":"a:b}"}"#, #""a:b}""#), ("null", "null"), ("{}", "{}"),
      (#"{"json": 1, "a": 2}"#, #"{"json": 1, "a": 2}"#), (#"{"jsonb": 1}"#, #"{"jsonb": 1}"#),
    ])
  func unwrapping(text: String, value: String) {
    #expect(WrappedJSON.unwrap(text) == value)
  }

  @Test("whatever is wrapped is unwrapped to the same bytes", arguments: Seeds.some(20))
  func wrapping(seed: UInt64) {
    var generator = Generator(seed: seed)
    for _ in 0..<100 {
      let text = generator.jsonText()
      #expect(WrappedJSON.wrap(text) != "null")
      #expect(WrappedJSON.unwrap(WrappedJSON.wrap(text)).utf8.elementsEqual(text.utf8))
      let twice = WrappedJSON.wrap(WrappedJSON.wrap(text))
      #expect(WrappedJSON.unwrap(WrappedJSON.unwrap(twice)).utf8.elementsEqual(text.utf8))
    }
  }
}
