import JSON
import Ledger
import Log
import TestLedgers

/// What holds keep, told from the tables as they were after each act, all of them taken together.
///
/// It knows no events: a row points to what it was copied from, as a person who reads the tables sees it.
struct HoldOracle {
  var holds: [StreamID: Hold.Scope] = [:]
  private(set) var missions: Set<StreamID> = []
  private var open: [StreamID: ClosedRange<Instant>] = [:]
  /// By source, its agent events.
  private var said: [String: Set<StreamID>] = [:]
  /// The rows that hold a copy of a row.
  private var copies: [StreamID: Set<StreamID>] = [:]
  /// What a mission was made of, up to an agent event: mission, proposal, reaction, agent event.
  private var madeOf: [StreamID: Set<StreamID>] = [:]
  /// The missions of a row.
  private var owners: [StreamID: Set<StreamID>] = [:]

  // MARK: Looking

  mutating func note(_ ledger: TestLedger) throws {
    let now = try ledger.session().now()
    for row in try rows(ledger, "ops_missions") {
      let (id, proposal) = (row.id("id"), row.id("proposal_id"))
      guard let id, let created = row.time("created_at") else { continue }
      missions.insert(id)
      let isOpen = ["approved", "running"].contains(row["status"]?.stringValue)
      let end = isOpen ? now : row.time("completed_at") ?? row.time("updated_at") ?? now
      let past = open[id] ?? created...max(created, end)
      open[id] = min(past.lowerBound, created, end)...max(past.upperBound, created, end)
      link(id, to: proposal, isMade: true)
    }
    for row in try rows(ledger, "ops_agent_events") {
      guard let id = row.id("id") else { continue }
      if let source = row["data"]?["source"]?.stringValue { said[source, default: []].insert(id) }
      link(id, to: row.id("mission_id"))
      if let mission = row.id("mission_id") { owners[id, default: []].insert(mission) }
      let type = row["type"]?.stringValue ?? ""
      if type.hasPrefix("step:") { link(id, to: row["data"]?.id("step_id")) }
      if type.hasPrefix("proposal:") { link(id, to: row["data"]?.id("proposal_id")) }
    }
    for row in try rows(ledger, "ops_agent_reactions") {
      guard let id = row.id("id") else { continue }
      link(id, to: row.id("event_id"), isMade: true)
      if let made = row["payload"]?["result"]?.id("r_proposal_id") {
        link(made, to: id, isMade: true)
      }
    }
    let radar = try ledger.lines("SELECT id FROM ops_demand_radar").compactMap { StreamID($0) }
    for row in try rows(ledger, "ops_mission_steps") {
      guard let id = row.id("id") else { continue }
      link(id, to: row.id("mission_id"))
      if let mission = row.id("mission_id") { owners[id, default: []].insert(mission) }
      guard row["kind"]?.stringValue == "radar", let result = row["result"] else { continue }
      if let added = result.id("id") { link(added, to: id) }
      // A list repeats them.
      for entry in radar where result.id("id") == nil && result.text.contains(entry.description) {
        link(id, to: entry)
      }
    }
  }

  private mutating func link(_ copy: StreamID, to original: StreamID?, isMade: Bool = false) {
    guard let original else { return }
    copies[original, default: []].insert(copy)
    if isMade { madeOf[copy, default: []].insert(original) }
  }

  private func rows(_ ledger: TestLedger, _ table: String) throws -> [JSON] {
    try ledger.lines("SELECT to_json(t) AS row FROM \(table) AS t").map { try JSON(parsing: $0) }
  }

  // MARK: Saying

  private static func all(
    from start: Set<StreamID>, along edges: [StreamID: Set<StreamID>]
  ) -> Set<StreamID> {
    var (found, next) = (start, Array(start))
    while let one = next.popLast() {
      for other in edges[one] ?? [] where found.insert(other).inserted { next.append(other) }
    }
    return found
  }

  private func withOwners(_ rows: Set<StreamID>) -> Set<StreamID> {
    rows.reduce(into: rows) { $0.formUnion(owners[$1] ?? []) }
  }

  /// The rows, and missions of rows, that an erasure of a mission is about.
  func erased(with mission: StreamID) -> Set<StreamID> {
    withOwners(Self.all(from: Self.all(from: [mission], along: madeOf), along: copies))
  }

  func keeps(_ row: StreamID, by hold: StreamID) -> Bool {
    switch holds[hold] {
    case .mission(let mission): row == mission
    case .source(let source):
      withOwners(Self.all(from: said[source] ?? [], along: copies)).contains(row)
    case .time(let from, let until): open[row].map { $0.overlaps(from...until) } ?? false
    case nil: false
    }
  }

  func keeps(_ row: StreamID) -> Bool { holds.keys.contains { keeps(row, by: $0) } }

  func keepsAny(of rows: Set<StreamID>) -> Bool { rows.contains { keeps($0) } }
}

extension JSON {
  fileprivate func id(_ name: String) -> StreamID? {
    self[name]?.stringValue.flatMap { StreamID($0) }
  }

  fileprivate func time(_ name: String) -> Instant? {
    self[name]?.stringValue.flatMap { Instant($0) }
  }
}
