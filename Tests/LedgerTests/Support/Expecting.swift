import Ledger
import Testing

/// One of the states that a row type's own events lead to.
struct RowState<R: Sampled>: Sendable, CustomTestStringConvertible {
  let name: String
  let row: R
  var testDescription: String { name }
}

extension Sampled {
  static var states: [RowState<Self>] {
    histories.compactMap { history in
      fold(history.events).map { RowState(name: history.name, row: $0) }
    }
  }
}

/// Folds an event onto a state at 2026-11-24T06:16:40Z as version 1000, and expects these columns to
/// be set, the version to be 1000, and nothing else to change.
func expect<R: Sampled>(
  _ event: R.Event, on state: RowState<R>, sets values: [String: Value],
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  var row: R? = state.row
  R.evolve(&row, .own(event), recorded)
  var expected = try setting(values, in: state.row)
  expected.version = recorded.version
  #expect(differences(row, expected) == [], sourceLocation: sourceLocation)
}

/// Folds a creating event onto nothing, and onto a row that is there: it makes the same row of both.
func expect<R: Sampled>(
  _: R.Type, _ event: R.Event, makes values: [String: Value],
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  var expected = try setting(values, in: R(blank: recorded.stream))
  expected.version = recorded.version
  for start in [nil] + R.states.map({ Optional($0.row) }) {
    var row = start
    R.evolve(&row, .own(event), recorded)
    #expect(differences(row, expected) == [], sourceLocation: sourceLocation)
  }
}

let recorded = Fixed.recorded(1000)
/// When ``expect(_:on:sets:sourceLocation:)`` folds its event.
let now = Value.time(recorded.at)
