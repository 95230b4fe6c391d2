import JSON
import Ledger
import Log
import OpsLoop
import Postgres
public import Replay
import TestSupport

/// Every ledger column of every row of the eight tables, a line a row, in order.
public enum States {
  /// The row types of the eight tables.
  private static var rowTypes: [any Row.Type] {
    [
      AgentEvent.self, Reaction.self, Proposal.self, Mission.self, Step.self, Run.self,
      Policy.self, Radar.self,
    ]
  }

  /// Gives those lines, wherever the unqualified names lead.
  public static let sql =
    rowTypes.map { lines($0) }.joined(separator: " UNION ALL ") + " ORDER BY 1"

  private static func lines<R: Row>(_ rowType: R.Type) -> String {
    let values = R.columns.map { column in
      let text =
        column.type == .time
        ? "to_char(\(column.name) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        : "\(column.name)::text"
      return "coalesce(\(text), '-')"
    }
    return "SELECT ('\(R.table)|' || \(values.joined(separator: " || '|' || "))) COLLATE \"C\" "
      + "FROM \(R.table)"
  }

  public static func live(_ ledger: TestLedger) throws -> [String] { try ledger.lines(sql) }

  public static func at(
    _ entry: Int64, _ ledger: TestLedger, from snapshots: (any StateSnapshots)? = nil
  ) throws -> [String] {
    try query(sql, at: entry, ledger, from: snapshots)
  }

  /// The first column of a query's rows.
  public static func query(
    _ sql: String, at entry: Int64, _ ledger: TestLedger,
    from snapshots: (any StateSnapshots)? = nil
  ) throws -> [String] {
    var lines: [String] = []
    _ = try TimeTravel.query(
      sql, ledger.target, at: entry, from: snapshots, head: { _ in },
      each: { lines.append($0[0] ?? "") })
    return lines
  }

  /// Folds the log up to an entry, one event after the other, with nothing of the replay's.
  public static func naive(at entry: Int64, _ ledger: TestLedger) throws -> [String] {
    var query = LogQuery(limit: .max, keeps: .first)
    query.entries = 0...entry
    var events: [LoggedEvent] = []
    try ledger.session().log(query) { events.append($0) }
    var lines: [String] = []
    for rowType in rowTypes { lines += try naive(rowType, events) }
    return lines.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
  }

  private static func naive<R: Row>(_ rowType: R.Type, _ events: [LoggedEvent]) throws -> [String] {
    var rows: [StreamID: R] = [:]
    let (data, content) = (JSONReader(), JSONReader())
    for event in events where event.type.hasPrefix(R.name.rawValue + ".") {
      let suffix = String(event.type.dropFirst(R.name.rawValue.count + 1))
      guard let kind = StreamEvent<R>.Kind(suffix) else { throw TestFailure(event.type) }
      try event.data.utf8CString.withUnsafeBytes { dataBytes in
        try (event.content ?? "").utf8CString.withUnsafeBytes { contentBytes in
          let payload = Payload(
            data: data.fields(UnsafeRawBufferPointer(rebasing: dataBytes.dropLast())) ?? .none,
            content: event.content == nil
              ? .none
              : content.fields(UnsafeRawBufferPointer(rebasing: contentBytes.dropLast()))
                ?? .none)
          R.evolve(
            &rows[event.stream], try StreamEvent<R>(kind, from: payload),
            Recorded(stream: event.stream, version: event.version, at: event.recordedAt))
        }
      }
    }
    return rows.values.map { row in
      R.table + "|" + R.columns.map { $0.get(row).printed ?? "-" }.joined(separator: "|")
    }
  }
}

/// A history that a seed makes: the loop, policies, and manual changes that change, put in and remove rows.
public struct RandomHistory {
  public let ledger: TestLedger
  private let engine: Engine
  private var random: Generator
  /// What the tables were after each command, and the last entry by then.
  public private(set) var copies: [(entry: Int64, lines: [String])] = []

  public init(_ ledger: TestLedger, seed: UInt64) throws {
    self.ledger = ledger
    engine = try ledger.engine()
    random = Generator(seed: seed)
  }

  public mutating func play(_ commands: Int) throws {
    for _ in 0..<commands {
      try playOne()
      copies.append((try ledger.session().seal(), try States.live(ledger)))
    }
  }

  public mutating func below(_ count: Int) -> Int { random.below(count) }

  private static let hands = [
    "UPDATE public.ops_missions SET status = 'failed' WHERE id = (SELECT min(id::text)::uuid FROM public.ops_missions)",
    "DELETE FROM public.ops_missions WHERE id = (SELECT max(id::text)::uuid FROM public.ops_missions)",
    "DELETE FROM public.ops_agent_events WHERE id IN (SELECT id FROM public.ops_agent_events ORDER BY id LIMIT 2)",
    "UPDATE public.ops_mission_steps SET status = 'queued' WHERE status = 'failed'",
    "INSERT INTO public.ops_policy (key, value) VALUES ('mine', '{\"a\": 1}') ON CONFLICT DO NOTHING",
    "DELETE FROM public.ops_policy WHERE key = 'mine'",
    "INSERT INTO public.ops_demand_radar (title, stage, notes) VALUES ('é\"\\', 'watching', 'a|b')",
    "UPDATE public.ops_demand_radar SET stage = 'shipped', notes = NULL",
    "UPDATE public.ops_mission_proposals SET reason = 'a hand', dedupe_key = NULL",
    "BEGIN; UPDATE public.ops_policy SET value = '{}' WHERE key = 'mine'; DELETE FROM public.ops_action_runs; COMMIT",
  ]

  private mutating func playOne() throws {
    switch random.below(10) {
    case 0...2:
      let (type, source) = random.pick([
        ("job:flaky", "ci"), ("build:main:failed", "ci"), ("job:failing", "ci"),
        ("scout:find", "scout"),
      ])
      let data: JSON = .object([
        "job": .string("j"), "build": .string("b"), "source": .string(source),
        "error": .string("boom"), "summary": .string(random.word()),
      ])
      _ = try engine.emit(AgentEvent.Report(type: type, data: data.text))
    case 3: _ = try engine.heartbeat(drain: random.flip())
    case 4, 5:
      let worker = Worker(
        engine, Worker.Options(name: "worker/test"), shouldStop: { false }, report: { _ in })
      _ = try worker.run()
    case 6:
      let value = #"{"n": \#(random.below(1000)), "s": "é"}"#
      _ = try engine.setPolicy("counter", to: JSON(parsing: value), why: "test")
    case 7: try ledger.moveClock(seconds: Double(random.below(900)))
    default: try ledger.execute(random.pick(Self.hands))
    }
  }
}
