import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport
import Testing

/// Every ledger column of every row of the eight tables, a line a row, in order.
enum States {
  /// The nouns of the eight tables.
  private static var nouns: [any Noun.Type] {
    [
      AgentEvent.self, Reaction.self, Proposal.self, Mission.self, Step.self, Run.self,
      Policy.self, Radar.self,
    ]
  }

  /// Gives those lines, wherever the unqualified names lead.
  static let sql =
    nouns.map { lines($0) }.joined(separator: " UNION ALL ") + " ORDER BY 1"

  private static func lines<N: Noun>(_ noun: N.Type) -> String {
    let values = N.columns.map { column in
      let text =
        column.type == .time
        ? "to_char(\(column.name) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        : "\(column.name)::text"
      return "coalesce(\(text), '-')"
    }
    return "SELECT ('\(N.table)|' || \(values.joined(separator: " || '|' || "))) COLLATE \"C\" "
      + "FROM \(N.table)"
  }

  static func live(_ ledger: TestLedger) throws -> [String] { try ledger.lines(sql) }

  static func at(_ entry: Int64, _ ledger: TestLedger) throws -> [String] {
    try query(sql, at: entry, ledger)
  }

  /// The first column of a query's rows.
  static func query(
    _ sql: String, at entry: Int64, _ ledger: TestLedger
  ) throws -> [String] {
    var lines: [String] = []
    _ = try TimeTravel.query(
      sql, ledger.target, at: entry, head: { _ in }, each: { lines.append($0[0] ?? "") })
    return lines
  }

  /// Folds the log up to an entry, one event after the other, with nothing of the replay's.
  static func naive(at entry: Int64, _ ledger: TestLedger) throws -> [String] {
    var query = LogQuery(limit: .max, keeps: .first)
    query.entries = 0...entry
    var events: [LoggedEvent] = []
    try ledger.session().log(query) { events.append($0) }
    var lines: [String] = []
    for noun in nouns { lines += try naive(noun, events) }
    return lines.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
  }

  private static func naive<N: Noun>(_ noun: N.Type, _ events: [LoggedEvent]) throws -> [String] {
    var rows: [StreamID: N] = [:]
    let (data, content) = (JSONReader(), JSONReader())
    for event in events where event.type.hasPrefix(N.name.rawValue + ".") {
      let suffix = String(event.type.dropFirst(N.name.rawValue.count + 1))
      let kind = try #require(StreamEvent<N>.Kind(suffix))
      try event.data.utf8CString.withUnsafeBytes { dataBytes in
        try (event.content ?? "").utf8CString.withUnsafeBytes { contentBytes in
          let payload = Payload(
            data: data.fields(UnsafeRawBufferPointer(rebasing: dataBytes.dropLast())) ?? .none,
            content: event.content == nil
              ? .none
              : content.fields(UnsafeRawBufferPointer(rebasing: contentBytes.dropLast()))
                ?? .none)
          N.evolve(
            &rows[event.stream], try StreamEvent<N>(kind, from: payload),
            Recorded(stream: event.stream, version: event.version, at: event.recordedAt))
        }
      }
    }
    return rows.values.map { row in
      N.table + "|" + N.columns.map { $0.get(row).printed ?? "-" }.joined(separator: "|")
    }
  }
}

/// A history that a seed makes: the loop, policies, and hands that change, put in and remove rows.
struct RandomHistory {
  let ledger: TestLedger
  private let engine: Engine
  private var random: Generator
  /// What the tables were after each command, and the last entry by then.
  private(set) var copies: [(entry: Int64, lines: [String])] = []

  init(_ ledger: TestLedger, seed: UInt64) throws {
    self.ledger = ledger
    engine = try ledger.engine()
    random = Generator(seed: seed)
  }

  mutating func play(_ commands: Int) throws {
    for _ in 0..<commands {
      try playOne()
      copies.append((try ledger.session().seal(), try States.live(ledger)))
    }
  }

  mutating func below(_ count: Int) -> Int { random.below(count) }

  private static let hands = [
    "UPDATE ops_missions SET status = 'failed' WHERE id = (SELECT min(id::text)::uuid FROM ops_missions)",
    "DELETE FROM ops_missions WHERE id = (SELECT max(id::text)::uuid FROM ops_missions)",
    "DELETE FROM ops_agent_events WHERE id IN (SELECT id FROM ops_agent_events ORDER BY id LIMIT 2)",
    "UPDATE ops_mission_steps SET status = 'queued' WHERE status = 'failed'",
    "INSERT INTO ops_policy (key, value) VALUES ('mine', '{\"a\": 1}') ON CONFLICT DO NOTHING",
    "DELETE FROM ops_policy WHERE key = 'mine'",
    "INSERT INTO ops_demand_radar (title, stage, notes) VALUES ('é\"\\', 'watching', 'a|b')",
    "UPDATE ops_demand_radar SET stage = 'shipped', notes = NULL",
    "UPDATE ops_mission_proposals SET reason = 'a hand', dedupe_key = NULL",
    "BEGIN; UPDATE ops_policy SET value = '{}' WHERE key = 'mine'; DELETE FROM ops_action_runs; COMMIT",
  ]

  private mutating func playOne() throws {
    switch random.below(10) {
    case 0...2:
      let (type, source) = random.pick([
        ("job:flaky", "ci"), ("build:main:failed", "ci"), ("job:failing", "ci"),
        ("scout:find", "scout"),
      ])
      try engine.emit(
        type,
        .object([
          "job": .string("j"), "build": .string("b"), "source": .string(source),
          "error": .string("boom"), "summary": .string(random.word()),
        ]))
    case 3: _ = try engine.heartbeat(drain: random.flip())
    case 4, 5: try engine.work()
    case 6:
      try engine.set("counter", #"{"n": \#(random.below(1000)), "s": "é"}"#)
    case 7: try ledger.moveClock(seconds: Double(random.below(900)))
    default: try ledger.execute(random.pick(Self.hands))
    }
  }
}
