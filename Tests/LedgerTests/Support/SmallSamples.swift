import Ledger
import TestSupport

extension Run: Sampled {
  static let creating: [Event.Kind] = [.started]
  static let labels = ["status": Status.allCases.map(\.rawValue)]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .started:
      .started(
        step: g.id(), attempt: g.int(), kind: g.text(), executor: g.maybe { $0.text() },
        runID: g.maybe { $0.text() })
    case .succeeded: .succeeded
    case .failed:
      .failed(
        g.pick(Step.FailureClass.allCases), retrying: g.flip(), error: g.maybe { $0.text() })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Run>])] = [
    ("started", [started]),
    ("succeeded", [started, .own(.succeeded)]),
    ("failed", [started, .own(.failed(.timeout, retrying: true, error: "after 300 s"))]),
  ]

  private static let started = StreamEvent<Run>.own(
    .started(step: Fixed.id(6), attempt: 2, kind: "noop", executor: "noop"))
}

extension Policy: Sampled {
  static let creating: [Event.Kind] = [.set]
  static let labels: [String: [String]] = [:]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .set:
      .set(
        key: g.text(), value: g.jsonText(), rollbackTo: g.maybe { $0.int() },
        why: g.maybe { $0.text() })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Policy>])] = [
    ("set", [.own(.set(key: "loop", value: #"{"state": "running"}"#, rollbackTo: nil, why: nil))])
  ]
}

extension Radar: Sampled {
  static let creating: [Event.Kind] = [.added]
  static let labels = ["stage": Stage.allCases.map(\.rawValue)]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    let fields = Fields(
      stage: g.maybe { $0.pick(Stage.allCases) }, title: g.maybe { $0.text() },
      description: g.maybe { $0.text() }, notes: g.maybe { $0.text() })
    return switch kind {
    case .added: .added(fields)
    case .updated: .updated(fields)
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Radar>])] = [
    ("added", [.own(.added(Fields(title: "Faster builds")))]),
    (
      "updated",
      [
        .own(.added(Fields(title: "Faster builds", description: "They are slow", notes: "n"))),
        .own(.updated(Fields(stage: .validating, notes: "asked three people"))),
      ]
    ),
  ]
}

extension Hold: Sampled {
  static let creating: [Event.Kind] = [.placed]
  static let labels: [String: [String]] = [:]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .placed:
      .placed(
        g.pick([
          .mission(g.id()), .source(g.text()), .time(from: g.instant(), until: g.instant()),
        ]), by: g.text(), why: g.maybe { $0.text() })
    case .released: .released(by: g.text(), why: g.maybe { $0.text() })
    }
  }

  static let histories: [(name: String, events: [StreamEvent<Hold>])] = [
    ("placed", [.own(.placed(.mission(Fixed.id(1)), by: "cli/ann", why: "a case"))]),
    (
      "released",
      [
        .own(.placed(.source("scout"), by: "cli/ann", why: "a case")),
        .own(.released(by: "cli/bob", why: "settled")),
      ]
    ),
    (
      "over a time",
      [
        .own(
          .placed(
            .time(from: Instant(micros: 1_000_000), until: Instant(micros: 2_000_000)),
            by: "cli/ann", why: "an audit"))
      ]
    ),
  ]
}

extension LedgerRecord: Sampled {
  static let creating: [Event.Kind] = [.created]
  static let labels: [String: [String]] = [:]

  static func sample(_ kind: Event.Kind, _ g: inout Generator) -> Event {
    switch kind {
    case .created: .created(identity: g.id(), name: g.text())
    case .migrated: .migrated(file: g.text(), sha256: g.text())
    case .rebuilt: .rebuilt(report: g.jsonText())
    case .moved: .moved(report: g.jsonText(), why: g.maybe { $0.text() })
    case .restored: .restored(report: g.jsonText(), why: g.maybe { $0.text() })
    case .forked:
      .forked(
        identity: g.maybe { $0.id() }, report: g.jsonText(), why: g.maybe { $0.text() })
    case .signingKeyChanged: .signingKeyChanged(report: g.jsonText())
    case .drilled: .drilled(report: g.jsonText())
    }
  }

  static let histories: [(name: String, events: [StreamEvent<LedgerRecord>])] = [
    ("created", [.own(.created(identity: Fixed.id(1), name: "ops.example/ledger"))])
  ]
}
