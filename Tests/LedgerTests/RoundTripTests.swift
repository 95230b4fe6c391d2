import TestSupport
import Testing

@testable import Ledger

@Suite("What is recorded is read back")
struct RoundTripTests {
  @Test("an event of every kind is read back as it was", arguments: RowType.allCases)
  func everyKind(rowType: RowType) throws {
    try check(rowType.sampled)
  }

  private func check<R: Sampled>(_: R.Type) throws {
    for seed in Seeds.some(40) {
      var generator = Generator(seed: seed)
      for kind in StreamEvent<R>.Kind.all {
        generator.isFull = generator.flip()
        let event = R.sample(kind, &generator)
        #expect(event.type == R.eventType(kind))
        let again = try event.reread()
        if case .own(let mine) = event, case .own(let read) = again { #expect(mine == read) }
        let (written, rewritten) = (event.payload(), again.payload())
        #expect(sameFields(written.data, rewritten.data), "\(event.type), seed \(seed)")
        #expect(
          sameFields(written.content ?? "{}", rewritten.content ?? "{}"),
          "\(event.type), seed \(seed)")
      }
    }
  }

  @Test("what the patterns made of an agent event is recorded in structure and content")
  func processed() throws {
    let outcome = AgentEvent.PatternOutcome(
      pattern: "p", result: .unmatched(.cooldown), detail: "for 5 more minutes")
    let event = StreamEvent<AgentEvent>.own(.processed([outcome]))
    guard case .own(let read) = try event.reread() else {
      Issue.record("not its own")
      return
    }
    #expect(read == .processed([outcome]))
    #expect(
      event.payload().data
        == #"{"patterns": [{"reason": "cooldown", "matched": false, "pattern": "p"}]}"#)
    #expect(event.payload().content == #"{"details": {"p": "for 5 more minutes"}}"#)
  }

  @Test("an event folds to the same row as what is read back of it", arguments: RowType.allCases)
  func sameRow(rowType: RowType) throws {
    try checkFold(rowType.sampled)
  }

  private func checkFold<R: Sampled>(_: R.Type) throws {
    for seed in Seeds.some(40) {
      var generator = Generator(seed: seed)
      let events = R.randomHistory(&generator)
      let found = differences(fold(events), fold(try events.map { try $0.reread() }))
      #expect(found.isEmpty, "seed \(seed)")
    }
  }

  @Test("the names of all types are distinct")
  func names() {
    let types = RowType.allCases.flatMap { $0.sampled.types }
    #expect(Set(types).count == types.count)
  }

  @Test("a payload with a field missing or of another kind is unreadable, and traps nothing")
  func damaged() throws {
    for rowType in RowType.allCases { try checkDamaged(rowType.sampled) }
  }

  private func checkDamaged<R: Sampled>(_: R.Type) throws {
    var generator = Generator(seed: 1)
    generator.isFull = true
    let odd = ["null", "true", "-1", "99999999999", "1.5", "\"x\"", "[]", "[null]", "{}", "[1, 2]"]
    for kind in StreamEvent<R>.Kind.all {
      var (data, content) = R.sample(kind, &generator).payload()
      while data.utf8.count + (content?.utf8.count ?? 0) > 2_000 {
        (data, content) = R.sample(kind, &generator).payload()
      }
      for part in [data, content ?? "{}"] {
        for name in try fieldNames(part) {
          for value in [nil] + odd.map(Optional.init) {
            let changed = try replacing(name, in: part, with: value)
            let (mine, other) = part == data ? (changed, content) : (data, changed)
            do {
              let event: StreamEvent<R> = try read(kind.suffix, data: mine, content: other)
              _ = fold([event])
            } catch is Unreadable {}
          }
        }
      }
    }
  }

  @Test("a column that the row_type does not have is unreadable")
  func unknownColumn() {
    #expect(throws: Unreadable.self) {
      try read("inserted", data: #"{"columns": {"colour": "red"}}"#, content: nil, as: Step.self)
    }
    #expect(throws: Unreadable.self) {
      try read("amended", data: #"{"changes": {}}"#, content: #"{"x": [1, 2]}"#, as: Step.self)
    }
  }

  @Test("an array of integers with anything else in it is unreadable, not shortened")
  func integers() {
    for needs in ["[1, null]", "[1, 2.5]", "[99999999999]", "[[1]]", "[\"1\"]"] {
      #expect(throws: Unreadable.self, "\(needs)") {
        try read(
          "inserted", data: #"{"columns": {"needs": \#(needs)}}"#, content: nil, as: Step.self)
      }
    }
  }

  @Test("a label that nobody knows is unreadable")
  func labels() {
    #expect(throws: Unreadable.self) {
      try read(
        "attempt_failed", data: #"{"class": "melted", "failure_count": 1}"#, content: nil,
        as: Step.self)
    }
    #expect(StreamEvent<Step>.Kind("leasd") == nil)
    #expect(StreamEvent<LedgerRecord>.Kind("erased") == nil)
    #expect(StreamEvent<LedgerRecord>.Kind("archived") == nil)
  }
}
