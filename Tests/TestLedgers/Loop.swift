public import JSON
import Ledger
import Log
public import OpsLoop
import Replay
public import Testing

extension JSON {
  /// A template of steps that are noops with these params.
  public static func noops(_ params: JSON..., risk: String = "low", retries: Int? = nil) -> JSON {
    .object([
      "title": .string("test"), "risk_level": .string(risk),
      "steps": .array(
        params.map { params in
          var step: [String: JSON] = ["kind": .string("noop"), "params": params]
          if let retries { step["max_retries"] = .int(retries) }
          return .object(step)
        }),
    ])
  }

  /// A template with one step on the radar.
  public static func radar(_ action: String, _ params: [String: JSON]) -> JSON {
    .object([
      "risk_level": .string("low"),
      "steps": .array([
        .object([
          "kind": .string("radar"),
          "params": .object(["action": .string(action), "params": .object(params)]),
        ])
      ]),
    ])
  }

  public static let fine = JSON.object([:])
  public static let failing = JSON.object(["error": .string("told to fail")])
}

extension Engine {
  /// Works until nothing is claimable now.
  @discardableResult
  public func work(_ name: String = "worker/test") throws -> WorkerReport {
    try Worker(self, Worker.Options(name: name), shouldStop: { false }, report: { _ in }).run()
  }

  @discardableResult
  public func emit(_ type: String, _ data: JSON = .object([:]), key: String? = nil) throws
    -> Emitted
  {
    try emit(AgentEvent.Report(type: type, data: data.text, dedupeKey: key))
  }

  public func set(_ key: String, _ text: String) throws {
    _ = try setPolicy(key, to: JSON(parsing: text), why: "test")
  }
}

extension TestLedger {
  /// Equal to the replay, or what is not.
  public func expectEqual(sourceLocation: SourceLocation = #_sourceLocation) throws {
    let report = try verify()
    #expect(report.differences == [], sourceLocation: sourceLocation)
    #expect(report.isEqual, sourceLocation: sourceLocation)
  }

  /// The types of the events of one row type, in the order of the log.
  public func history(_ rowType: String) throws -> [String] {
    try lines(
      """
      SELECT substr(type, \(rowType.utf8.count + 2)) FROM ledger.events
      WHERE type LIKE '\(rowType).%' ORDER BY entry, index
      """)
  }

  public func ownEvents() throws -> [String] {
    try lines(
      """
      SELECT type || CASE WHEN processed_at IS NULL THEN ' unprocessed' ELSE '' END
      FROM ops_agent_events WHERE type LIKE 'step:%' OR type LIKE 'mission:%'
      ORDER BY created_at, id
      """)
  }
}
