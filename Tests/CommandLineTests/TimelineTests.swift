import Ledger
import Testing

@testable import Log
@testable import opsledger

@Suite("the timeline of a mission")
struct TimelineTests {
  private static let mission = StreamID(high: 1, low: 1)

  private static func event(
    _ type: String, _ data: String, _ content: String? = nil, erased: Bool = false
  ) -> LoggedEvent {
    LoggedEvent(
      entry: 7, index: 0, stream: mission, version: 1, type: type,
      recordedAt: Instant(micros: 1_795_500_000_000_000), actor: "cli/ann", data: data,
      content: content, commitment: erased ? [1] : nil)
  }

  private static func lines(_ events: LoggedEvent...) -> [String] {
    var history = MissionHistory(mission: mission)
    history.events = events
    return Timeline(history).lines.map(\.what)
  }

  @Test("an event that cannot be read is shown as what it is", arguments: RowType.allCases)
  func unreadable(rowType: RowType) {
    check(rowType.type)
  }

  private func check<R: Row>(_: R.Type) {
    for kind in StreamEvent<R>.Kind.all {
      for data in ["", "{}", "null", "[1, {", #"{"changes": 7, "columns": [], "patterns": {}}"#] {
        for content in [nil, "", "{}", "7"] {
          let event = Self.event(R.eventType(kind), data, content)
          let isReadable = (try? event.decoded(kind)) != nil
          let what = Self.lines(event)
          #expect(isReadable || what.first?.hasPrefix(event.type + ", which cannot") == true)
          #expect(what.allSatisfy { !$0.isEmpty })
        }
      }
    }
    let unknown = Self.lines(Self.event("\(R.name.rawValue).invented", #"{"why": 1}"#))
    #expect(unknown[0].contains(".invented, which this release does not know: {\"why\": 1}"))
  }

  @Test("what was erased is said to be")
  func erased() {
    let plan = #"""
      {"mission_id": "\#(Self.mission)", "ordinal": 1, "kind": "send", "executor": "noop", "needs": []}
      """#
    let run = #"{"run_id": "\#(Self.mission)"}"#
    #expect(
      Self.lines(
        Self.event(Step.eventType(.created), plan, #"{"params": null}"#, erased: true),
        Self.event(Step.eventType(.succeeded), run, #"{"result": null}"#, erased: true),
        Self.event(
          Step.eventType(common: .amended), #"{"changes": {"max_retries": [1, 2]}}"#,
          #"{"last_error": null}"#, erased: true))
        == [
          "step 1 (send) planned: [erased]", "step 1 (send): succeeded: [erased]",
          "step 1 (send) changed manually: last_error [erased], max_retries 1 → 2",
        ])
    #expect(
      Self.lines(Self.event(Step.eventType(.created), plan, #"{"params": {"json": null}}"#))
        == ["step 1 (send) planned: null"])
  }

  @Test("the heading names who set the status manually, until the loop sets another")
  func manualStatus() {
    var history = MissionHistory(mission: Self.mission)
    history.events = [
      Self.event(
        Mission.eventType(common: .amended), #"{"changes": {"status": ["running", "failed"]}}"#)
    ]
    #expect(Timeline(history).heading.contains("failed (set manually by cli/ann), 0 steps"))
    history.events.append(
      Self.event(Mission.eventType(.reopened), #"{"step_id": "\#(Self.mission)"}"#))
    #expect(Timeline(history).heading.contains("\nrunning, 0 steps"))
  }
}
