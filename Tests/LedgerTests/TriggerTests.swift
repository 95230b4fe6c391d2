import JSON
import Ledger
import TestSupport
import Testing

@Suite("How agent events meet patterns")
struct TriggerTests {
  private func event(_ type: String, _ data: String) -> AgentEvent {
    var event = AgentEvent(blank: Fixed.id(1))
    event.type = type
    event.data = data
    event.version = 1
    return event
  }

  private func matrix(_ pattern: String) throws -> ReactionMatrix {
    try ReactionMatrix(
      JSON(
        parsing:
          #"{"patterns": [{"id": "p", "template": {"title": "{{ event.data.x }}"}\#(pattern)}]}"#
      ))
  }

  private func outcome(
    _ pattern: String, _ event: AgentEvent, last: Instant? = nil, depth: Int = 0
  ) throws -> AgentEvent.PatternOutcome.Reason? {
    var draft = Draft(at: Fixed.time(1000), ids: IDSource(seed: (1, 2)))
    try draft.load(event, as: event.id)
    var lastReaction = ["p": last].compactMapValues { $0 }
    let outcomes = draft.trigger(
      event, by: try matrix(pattern), EventFacts(holding: ["true"], depth: depth),
      lastReaction: &lastReaction, cause: nil
    ).outcomes
    #expect(draft.events.first?.type == "agent_event.processed")
    #expect(draft.events.count == 1 + outcomes.count(where: \.isMatch))
    let recorded = try JSON(parsing: draft.events[0].data)["patterns"]?.arrayValue?.first
    return recorded?["reason"]?.stringValue.flatMap(AgentEvent.PatternOutcome.Reason.init)
  }

  @Test(
    "type, tags and source decide, in this order",
    arguments: [
      ("", "any", #"{"x": 1}"#, nil),
      (#", "event_type": "scout:find""#, "scout:find", #"{"x": 1}"#, nil),
      (#", "event_type": "scout:find""#, "scout:finds", #"{"x": 1}"#, .type),
      (#", "type": "step:*:failed""#, "step:noop:failed", #"{"x": 1}"#, nil),
      (#", "event_type": ["a", "b*"]"#, "bc", #"{"x": 1}"#, nil),
      (#", "event_type": ["a", "b*"]"#, "ac", #"{"x": 1}"#, .type),
      (#", "tags": ["q"]"#, "any", #"{"x": 1, "tags": ["q", "r"]}"#, nil),
      (#", "tags": ["q", "s"]"#, "any", #"{"x": 1, "tags": ["q", "r"]}"#, .tags),
      (#", "tags": ["q"]"#, "any", #"{"x": 1, "tags": "q"}"#, .tags),
      (#", "source": "ci""#, "any", #"{"x": 1, "source": "ci"}"#, nil),
      (#", "source": "ci""#, "any", #"{"x": 1}"#, .source),
      (#", "probability": 0"#, "any", #"{"x": 1}"#, .probability),
      (#", "condition": "false""#, "any", #"{"x": 1}"#, .condition),
      (#", "condition": "true""#, "any", #"{"x": 1}"#, nil),
      ("", "any", "{}", .template),
    ] as [(String, String, String, AgentEvent.PatternOutcome.Reason?)])
  func matching(
    pattern: String, type: String, data: String, reason: AgentEvent.PatternOutcome.Reason?
  ) throws {
    #expect(try outcome(pattern, event(type, data)) == reason)
  }

  @Test("a chain of reactions ends at the limit")
  func depth() throws {
    let event = event("any", #"{"x": 1}"#)
    #expect(try outcome("", event, depth: 15) == nil)
    #expect(try outcome("", event, depth: 16) == .depth)
    #expect(try outcome(#", "event_type": "other""#, event, depth: 16) == .type)
    for limit in ["0", "1001", "1.5", #""16""#, "-1", "1e99"] {
      let value = try JSON(parsing: #"{"patterns": [], "max_causation_depth": \#(limit)}"#)
      expectRefusal(.patternInvalid) { try ReactionMatrix(value) }
    }
  }

  @Test("what chance decided is recorded")
  func draws() throws {
    var draft = Draft(at: Fixed.time(0), ids: IDSource(seed: (1, 2)))
    let event = event("any", #"{"x": 1}"#)
    try draft.load(event, as: event.id)
    var last: [String: Instant] = [:]
    let outcomes = draft.trigger(
      event, by: try matrix(#", "probability": 0.999999"#), lastReaction: &last, cause: nil
    ).outcomes
    let draw = try #require(outcomes.first?.draw)
    let recorded = try JSON(parsing: draft.events[0].data)["patterns"]?.arrayValue?.first
    #expect(recorded?["draw"]?.doubleValue == draw)
  }

  @Test("a cooldown holds for its minutes")
  func cooldown() throws {
    let cooling = #", "cooldown_minutes": 10"#
    let event = event("any", #"{"x": 1}"#)
    #expect(try outcome(cooling, event, last: Fixed.time(1000 - 599)) == .cooldown)
    #expect(try outcome(cooling, event, last: Fixed.time(1000 - 600)) == nil)
    #expect(try outcome(cooling, event) == nil)
  }

  @Test(
    "a pattern that cannot be understood is OPS_008",
    arguments: [
      #"{}"#, #"{"patterns": {}}"#, #"{"patterns": [{"template": {}}]}"#,
      #"{"patterns": [{"id": "p"}]}"#, #"{"patterns": [{"id": "p", "template": []}]}"#,
      #"{"patterns": [{"id": "p", "template": {}}, {"id": "p", "template": {}}]}"#,
      #"{"patterns": [{"id": "p", "template": {}, "probability": 2}]}"#,
      #"{"patterns": [{"id": "p", "template": {}, "tags": "q"}]}"#,
      #"{"patterns": [{"id": "p", "template": {}, "event_type": 1}]}"#,
      #"{"patterns": [{"id": "p", "template": {}, "proposal_source": "scout"}]}"#,
      #"{"patterns": [{"id": "p", "template": {}, "cooldown_minutes": -1}]}"#,
    ])
  func invalid(text: String) throws {
    let value = try JSON(parsing: text)
    let error = #expect(throws: OpsError.self) { try ReactionMatrix(value) }
    #expect(error?.code == .patternInvalid)
  }

  @Test("`*` stands for any text, also none")
  func globs() {
    let yes = [
      ("*", ""), ("a*", "a"), ("a*c", "abbc"), ("*b*", "abc"), ("a**", "ab"), ("é*", "éa"),
    ]
    for (pattern, text) in yes { #expect(Glob(pattern).matches(text), "\(pattern) \(text)") }
    for (pattern, text) in [("a", "b"), ("a*c", "ab"), ("*b", "ba"), ("", "a")] {
      #expect(!Glob(pattern).matches(text), "\(pattern) \(text)")
    }
  }

  @Test("own agent events matter only to patterns that begin with their first word")
  func watches() throws {
    #expect(try matrix(#", "event_type": "step:*:failed""#).watches(ownType: "step:noop:succeeded"))
    #expect(try !matrix(#", "event_type": "*""#).watches(ownType: "step:noop:failed"))
    #expect(try !matrix(#", "event_type": "st*""#).watches(ownType: "step:noop:failed"))
    #expect(try matrix(#", "event_type": ["a", "mission:*"]"#).watches(ownType: "mission:failed"))
  }
}

@Suite("How placeholders are filled")
struct RenderingTests {
  private let rendering: Rendering = {
    var event = AgentEvent(blank: Fixed.id(1))
    event.type = "t"
    event.data =
      #"{"text": "a\"}, {\"kind\": \"sh", "number": 1.50, "list": ["x", {"y": "z"}], "none": null}"#
    return Rendering(event)
  }()

  @Test("what an event says stays a value, whatever it says")
  func cannotInject() throws {
    let template = try JSON(
      parsing: #"{"steps": [{"kind": "noop", "note": "{{ event.data.text }}"}]}"#)
    let rendered = try rendering.render(template)
    #expect(rendered["steps"]?.arrayValue?.count == 1)
    #expect(
      rendered["steps"]?.arrayValue?[0]["note"] == .string(#"a"}, {"kind": "sh"#))
  }

  @Test(
    "a lone placeholder gives the value, one inside a text its text",
    arguments: [
      ("{{ event.data.number }}", #"1.50"#), ("n={{event.data.number}}!", #""n=1.50!""#),
      ("{{ event.data.list.0 }}", #""x""#), ("{{event.data.list.1.y}}{{ event.type }}", #""zt""#),
      ("{{ event.data.none }}", "null"), ("no {{ placeholder", #""no {{ placeholder""#),
      ("{{ event.data.list }}", #"["x", {"y": "z"}]"#), ("", #""""#),
    ])
  func values(text: String, expected: String) throws {
    #expect(try rendering.render(.string(text)).text == expected)
  }

  @Test(
    "a path that is not there is named",
    arguments: ["event.data.missing", "event.data.list.9", "event.nothing", "data.text", ""])
  func missing(path: String) throws {
    let error = #expect(throws: OpsError.self) {
      try rendering.render(.string("{{ \(path) }}"))
    }
    #expect(error?.code == .templateInvalid)
    #expect(error?.facts["path"] == path)
  }

  @Test("an object cannot stand inside a text")
  func objectInText() {
    expectRefusal(.templateInvalid) {
      try rendering.render(.string("list: {{ event.data.list }}"))
    }
  }
}

@Suite("The radar's rules")
struct RadarTests {
  @Test("stages go forward one at a time, and back to watching from anywhere")
  func stages() throws {
    let order = Radar.Stage.allCases
    for (from, stage) in order.enumerated() {
      for (to, next) in order.enumerated() {
        var item = Radar(blank: Fixed.id(1))
        item.stage = stage
        let allowed = to == 0 || to == from || to == from + 1
        let events = try? Radar.decideUpdate(Radar.Fields(stage: next), given: item)
        #expect((events != nil) == allowed, "\(stage) to \(next)")
      }
    }
  }

  @Test(
    "a step's params that say nothing doable are OPS_004",
    arguments: [
      "{}", #"{"action": "drop"}"#, #"{"action": "add"}"#,
      #"{"action": "add", "params": {"title": 1}}"#,
      #"{"action": "update", "params": {}}"#, #"{"action": "update", "params": {"id": "x"}}"#,
      #"{"action": "add", "params": {"title": "t", "stage": "done"}}"#,
    ])
  func badParams(text: String) throws {
    let params = try JSON(parsing: text)
    let error = #expect(throws: OpsError.self) { try Radar.Command(params: params) }
    #expect(error?.code == .templateInvalid)
  }
}
