public import Ledger
public import Log
import Postgres

/// One mission as of a moment, with what belongs to it.
public struct MissionState: Sendable {
  public var mission: Mission
  public var proposal: Proposal?
  /// In their order.
  public var steps: [Step] = []
  /// In the order in which they began.
  public var runs: [Run] = []
}

extension Session {
  /// Folds one mission and what belongs to it, up to a moment. Only their streams are read, which are found
  /// as its history finds them.
  ///
  /// - Throws: `OPS_011` where there was no such mission then.
  public func mission(_ id: StreamID, at entry: Int64) throws(OpsError) -> MissionState {
    let history = try history(ofMission: id)
    let streams = Set(history.events.lazy.filter { $0.entry <= entry }.map(\.stream))
    let snapshot = try SharedSnapshot(self)
    defer { snapshot.end() }
    let fold = try Slice.streams(Array(streams)).fold(
      on: try snapshot.reader(), entries: 0...max(0, entry), ReplayProgress())
    try fold.requireSound()
    guard let mission = fold.missions.row(of: id) else {
      let first = history.events.first { $0.stream == id }
      throw OpsError(
        .notFound, "there was no mission \(id) at entry \(entry)",
        hint: first.map { "it begins with entry \($0.entry), \($0.recordedAt)" },
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

extension FoldTable {
  fileprivate func row(of stream: StreamID) -> R? { find(stream).flatMap { slots[$0].row } }
}
