public import Ledger
public import Log
import Postgres

/// One mission as of a moment, with its proposal, steps and runs.
public struct MissionState: Sendable {
  public var mission: Mission
  public var proposal: Proposal?
  /// In the order of their ordinals.
  public var steps: [Step] = []
  /// In the order of their starts.
  public var runs: [Run] = []
}

extension Session {
  /// Folds one mission, its proposal, steps and runs up to a moment. Their streams are found as for the mission's history.
  ///
  /// - Throws: `OPS_011` if the mission did not exist at the moment.
  public func mission(_ id: StreamID, at entry: Int64) throws(OpsError) -> MissionState {
    let history = try history(ofMission: id)
    let streams = Set(history.events.lazy.filter { $0.entry <= entry }.map(\.stream))
    let fold = try fold(streams, upTo: entry)
    guard let mission = fold.missions.row(of: id) else {
      let first = history.events.first { $0.stream == id }
      throw OpsError(
        .notFound, "mission \(id) did not exist at entry \(entry)",
        hint: first.map { "its first entry is \($0.entry), recorded \($0.recordedAt)" },
        facts: ["mission_id": id.description])
    }
    var state = MissionState(mission: mission)
    state.proposal = mission.proposalID.flatMap { fold.proposals.row(of: $0) }
    state.steps = fold.steps.slots.compactMap(\.row).filter { $0.missionID == id }
    state.steps.sort { a, b in
      (a.ordinal ?? 0, a.createdAt, a.id.high, a.id.low)
        < (b.ordinal ?? 0, b.createdAt, b.id.high, b.id.low)
    }
    let ids = Set(state.steps.map(\.id))
    state.runs = fold.runs.slots.compactMap(\.row).filter { $0.stepID.map(ids.contains) ?? false }
    state.runs.sort {
      ($0.startedAt, $0.id.high, $0.id.low) < ($1.startedAt, $1.id.high, $1.id.low)
    }
    return state
  }
}
