import JSON
import Ledger
import TestSupport
import Testing

extension Sampled {
  /// Every type of this row type: `step.leased`.
  static var types: [String] {
    StreamEvent<Self>.Kind.all.map { eventType($0) }
  }

  /// A stream as nobody would live it: made, then anything in any order.
  static func randomHistory(_ generator: inout Generator) -> [StreamEvent<Self>] {
    var events: [StreamEvent<Self>] = [
      generator.flip()
        ? .common(.inserted(sampleColumns(&generator)))
        : .own(sample(generator.pick(creating), &generator))
    ]
    let kinds = StreamEvent<Self>.Kind.all
    for _ in 0..<generator.below(12) { events.append(sample(generator.pick(kinds), &generator)) }
    return events
  }
}

func fieldNames(_ object: String) throws -> [String] {
  try #require(JSON(parsing: object).objectValue).keys.sorted()
}

/// Whether two objects have the same fields, whatever their order.
func sameFields(_ a: String, _ b: String) -> Bool {
  guard let a = try? JSON(parsing: a), let b = try? JSON(parsing: b) else { return false }
  return a.text.utf8.elementsEqual(b.text.utf8)
}

/// An object with one field replaced, or taken out.
func replacing(_ name: String, in object: String, with value: String?) throws -> String {
  var members = try #require(JSON(parsing: object).objectValue)
  members[name] = try value.map { try JSON(parsing: $0) }
  return JSON.object(members).text
}
