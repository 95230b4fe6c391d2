import JSON
import TestSupport
import Testing

@testable import Ledger

@Suite("Erased content")
struct ErasureTests {
  @Test(
    "an event whose content is erased folds to the marker of each column",
    arguments: RowType.allCases)
  func markers(rowType: RowType) throws {
    try checkMarkers(rowType.sampled)
  }

  /// Every column of content, where the event sets it: NULL where it can be, else the marker.
  private func checkMarkers<R: Sampled>(_: R.Type) throws {
    var generator = Generator(seed: 7)
    generator.isFull = true
    for kind in R.creating {
      let event = StreamEvent<R>.own(R.sample(kind, &generator))
      let row = try #require(fold([try event.erased()]))
      let whole = try #require(fold([event]))
      for column in R.columns {
        let value = column.get(row)
        switch column.part {
        case .data: #expect(value.same(as: column.get(whole)), "\(column.name)")
        case .content:
          if column.get(whole).isNull { continue }
          let marker: Value =
            column.isNullable
            ? .null
            : column.type == .json ? .json(#"{"erased": true}"#) : .text("[erased]")
          #expect(value.same(as: marker), "\(column.name): \(value)")
        case .mixed: break
        }
      }
    }
  }

  @Test("a manual change's row, its content erased, has markers and all of its structure")
  func inserted() throws {
    let event = StreamEvent<Step>.common(
      .inserted([
        ColumnValue("id", .uuid(Fixed.stream)), ColumnValue("kind", .text("noop")),
        ColumnValue("params", .json(#"{"secret": 1}"#)), ColumnValue("result", .json("null")),
        ColumnValue("last_error", .text("secret")), ColumnValue("ordinal", .int(2)),
      ]))
    let row = try #require(fold([try event.erased()]))
    #expect(row.params == #"{"erased": true}"#)
    #expect(row.result == nil)
    #expect(row.lastError == nil)
    #expect(row.kind == "noop")
    #expect(row.ordinal == 2)
  }

  @Test("votes that a manual change wrote keep role, id, vote and time")
  func votes() throws {
    let votes =
      #"{"pm": {"id": "i", "vote": "reject", "reason": "secret", "metadata": {"secret": 1}, "#
      + #""created_at": "2026-11-24", "secret": "secret"}}"#
    let kept =
      #"{"pm": {"id": "i", "vote": "reject", "reason": null, "metadata": {"erased": true}, "#
      + #""created_at": "2026-11-24"}}"#
    let event = StreamEvent<Proposal>.common(
      .amended([ColumnChange("votes", from: .null, to: .json(votes))]))
    let start = Proposal.histories[0].events
    #expect(fold(start + [event])?.votes == votes)
    #expect(fold(start + [try event.erased()])?.votes == kept)
    #expect(fold(start + [event, .common(.erased(why: nil))])?.votes == kept)
    #expect(!event.payload().data.contains("secret"))
  }

  @Test("of a reaction's payload ids, kinds and statuses stay")
  func payload() throws {
    let history: [StreamEvent<Reaction>] = [
      .own(
        .queued(
          Reaction.Intent(
            eventID: Fixed.id(3), eventType: "t", patternID: "p", proposalSource: .api,
            dedupeKey: "k", template: #"{"secret": 1}"#))),
      .own(
        .done(
          Reaction.Outcome(
            proposalID: Fixed.id(4), status: .pending, missionID: nil, reason: "secret"))),
      .common(.erased(why: nil)),
    ]
    #expect(
      fold(history)?.payload
        == #"{"result": {"r_reason": null, "r_status": "pending", "r_mission_id": null, "#
        + #""r_proposal_id": "\#(Fixed.id(4))"}, "dedupe_key": "k", "event_type": "t", "#
        + #""pattern_id": "p", "proposal_source": "api", "proposal_template": {"erased": true}}"#)
  }

  @Test("a row that is erased equals the fold of its erased events", arguments: RowType.allCases)
  func liveEqualsReplay(rowType: RowType) throws {
    if rowType == .ledger { return }
    try checkReplay(rowType.sampled)
  }

  private func checkReplay<R: Sampled>(_: R.Type) throws {
    for seed in Seeds.some(150) {
      var generator = Generator(seed: seed)
      let events = R.randomHistory(&generator)
      let live = fold(events + [.common(.erased(why: nil))])
      let replayed = fold(try events.map { try $0.erased() } + [.common(.erased(why: nil))])
      #expect(differences(live, replayed) == [], "seed \(seed)")
      // Once more changes nothing but the version, and neither does what is read back.
      var again = live
      again?.eraseContent()
      #expect(differences(live, again) == [], "seed \(seed)")
      let reread = fold(try events.map { try $0.erased().reread() } + [.common(.erased(why: nil))])
      #expect(differences(live, reread) == [], "seed \(seed)")
    }
  }

  @Test(
    "nothing that was content is left in an erased row, nor in any data",
    arguments: RowType.allCases)
  func nothingLeft(rowType: RowType) throws {
    if rowType == .ledger { return }
    try checkNothingLeft(rowType.sampled)
  }

  /// Plants one word in every value of content that a manual change can write.
  private func checkNothingLeft<R: Sampled>(_: R.Type) throws {
    let secret = "hush"
    let json =
      #"{"note": "hush", "result": {"r_reason": "hush", "x": "hush"}, "error": "hush", "#
      + #""pm": {"reason": "hush", "metadata": {"a": ["hush"]}, "x": "hush"}, "y": ["hush"]}"#
    for text in [
      json, #"["hush"]"#, #""hush""#, #"{"kind": {"a": "hush"}, "pattern_id": ["hush"]}"#,
    ] {
      var generator = Generator(seed: 3)
      generator.isFull = true
      let values = R.columns.map { column -> ColumnValue in
        guard column.part != .data else {
          return ColumnValue(column.name, R.sampleValue(column, &generator))
        }
        return ColumnValue(column.name, column.type == .json ? .json(text) : .text(secret))
      }
      let events: [StreamEvent<R>] = [
        .common(.inserted(values)),
        .common(
          .amended(values.dropFirst().map { ColumnChange($0.column, from: $0.value, to: $0.value) })
        ),
        .common(.restored(values)),
      ]
      for event in events { #expect(!event.payload().data.contains(secret), "\(event.type)") }
      let row = try #require(fold(events + [.common(.erased(why: nil))]))
      for column in R.columns where column.part != .data {
        #expect(column.get(row).printed?.contains(secret) != true, "\(column.name)")
      }
    }
  }

  @Test("erasing a row that is not there leaves none")
  func noRow() {
    #expect(fold([StreamEvent<Step>.common(.erased(why: nil))]) == nil as Step?)
  }
}

private func == (row: Step?, none: Step?) -> Bool { differences(row, none).isEmpty }
