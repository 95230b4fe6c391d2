import JSON
import Ledger

/// One agent event of the sample day.
struct SampleEvent {
  /// Minutes since the day began.
  var minute: Int
  var type: String
  var data: JSON
  var dedupeKey: String?
}

/// A day of a small company's agents, from a fixed seed: scouts find things, builds break, people ask, jobs fail, and some
/// events match no pattern.
struct SampleDay {
  private(set) var events: [SampleEvent] = []
  private var ids = IDSource(seed: (20_261_124, 5))

  static let minutes = 24 * 60

  init() {
    addFinds()
    addBuilds()
    addRequests()
    addSignals()
    addRecommendations()
    addJobs()
    addNoise()
    events.sort { ($0.minute, $0.type) < ($1.minute, $1.type) }
  }

  private mutating func draw(_ count: Int) -> Int { Int(ids.draw() * Double(count)) }

  /// Most minutes lie in working hours.
  private mutating func minute() -> Int {
    ids.draw() < 0.75 ? 7 * 60 + draw(12 * 60) : draw(Self.minutes - 30)
  }

  private mutating func add(
    _ type: String, _ data: [String: JSON], at minute: Int? = nil, dedupe: String? = nil
  ) {
    let at = minute ?? self.minute()
    events.append(SampleEvent(minute: at, type: type, data: .object(data), dedupeKey: dedupe))
  }

  private mutating func addFinds() {
    let (what, who) = (
      ["invoice matching", "log triage", "meeting notes", "price alerts", "contract search"],
      ["small shops", "clinics", "schools", "law firms", "couriers", "bakeries"]
    )
    for subject in what {
      for audience in who {
        let (title, found) = ("\(subject) for \(audience)", minute())
        add("scout:find", ["summary": .string(title), "source": .string("scout")], at: found)
        // Some demand is confirmed later in the day.
        if ids.draw() < 0.4 {
          add(
            "demand:confirmed", ["title": .string(title)],
            at: min(found + 45 + draw(180), Self.minutes - 20))
        }
      }
    }
    // The radar has no such item.
    add("demand:confirmed", ["title": .string("horoscopes for cats")])
    // This event lacks the summary that the template uses.
    add("scout:find", ["source": .string("scout")])
  }

  private mutating func addBuilds() {
    for number in 1...36 {
      let service = ["api", "web", "worker"][number % 3]
      add(
        "build:\(service):failed",
        [
          "build": .string("\(service)#\(1000 + number)"),
          // The pattern wants builds of the build server.
          "source": .string(number % 6 == 0 ? "laptop" : "ci"),
        ], dedupe: "build-\(1000 + number)")
    }
    for number in 1...30 {
      add("build:web:passed", ["build": .string("web#\(2000 + number)"), "source": .string("ci")])
    }
  }

  private mutating func addRequests() {
    let topics = [
      "a summary of last week", "the three slowest queries", "a draft of the newsletter",
      "what changed in the terms", "an answer for a customer", "numbers for the board",
    ]
    for number in 0..<66 {
      let type = number % 2 == 0 ? "user:request" : "minion:request_content"
      add(type, ["topic": .string("\(topics[number % topics.count]) (\(number + 1))")])
    }
  }

  private mutating func addSignals() {
    for number in 0..<54 {
      let tags: [JSON] = number % 2 == 0 ? [.string("urgent"), .string("ops")] : [.string("ops")]
      add(
        "signal:\(["latency", "disk", "mentions"][number % 3])",
        ["message": .string("signal \(number + 1) from the edge"), "tags": .array(tags)])
    }
  }

  private mutating func addRecommendations() {
    for number in 0..<24 {
      add(
        "sage:recommend",
        [
          "recommendation": .string(
            "recommendation \(number + 1): \(["cache", "retire", "hire", "ask"][number % 4])")
        ])
    }
  }

  private mutating func addJobs() {
    for number in 1...40 { add("job:flaky", ["job": .string("nightly-\(number)")]) }
    for number in 0..<12 {
      add(
        "job:failing",
        [
          "job": .string("import-\(number + 1)"),
          "error": .string("exit status \(1 + number % 3): no such bucket"),
        ])
    }
  }

  /// Events that match no pattern.
  private mutating func addNoise() {
    for number in 0..<90 {
      add("metric:sample", ["value": .int(number * 7 % 100), "source": .string("edge")])
    }
  }
}
