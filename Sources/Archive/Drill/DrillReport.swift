import Host
public import JSON

public struct DrillReport: Sendable {
  public struct Phase: Equatable, Sendable {
    public let name: String
    public let seconds: Double
  }

  public var store: String
  /// The last entry that was restored, and the root of the log there.
  public var lastEntry: Int64 = 0
  public var root = ""
  /// The sealed entries of the live database that the store lacks, and the time that they span; nil if the store cannot
  /// be read.
  public var lost: (entries: Int64, seconds: Double)?
  public var phases: [Phase] = []
  public var rowsCompared = 0
  public var eventsCompared = 0
  public var plantedFaultFound = false
  /// The tables and columns that no restore brings back.
  public var notCovered: [String] = []
  /// Why the drill failed. Names rows and columns, never their values.
  public var failures: [String] = []
  public var warnings: [String] = []
  /// The entry that records the drill.
  public var entry: Int64?

  public var passed: Bool { failures.isEmpty && plantedFaultFound }
  public var seconds: Double { phases.reduce(0) { $0 + $1.seconds } }

  mutating func add(_ phase: String, _ watch: Stopwatch) {
    phases.append(Phase(name: phase, seconds: Double(watch.elapsedMillis) / 1000))
  }

  /// For scripts, and for the log.
  public var json: JSON {
    var times = Dictionary(uniqueKeysWithValues: phases.map { ($0.name, Self.number($0.seconds)) })
    times["total"] = Self.number(seconds)
    return .object([
      "passed": .bool(passed), "store": .string(store), "last_entry": .int(lastEntry),
      "root": .string(root),
      "rpo_entries": lost.map { .int($0.entries) } ?? .null,
      "rpo_seconds": lost.map { Self.number($0.seconds) } ?? .null,
      "rto_seconds": .object(times), "rows_compared": .int(rowsCompared),
      "events_compared": .int(eventsCompared), "planted_fault_found": .bool(plantedFaultFound),
      "not_covered": .array(notCovered.map(JSON.string)),
      "failures": .array(failures.map(JSON.string)),
    ])
  }

  private static func number(_ seconds: Double) -> JSON {
    .number(String((seconds * 1000).rounded() / 1000))
  }
}
