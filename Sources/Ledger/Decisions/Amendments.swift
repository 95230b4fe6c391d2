/// The loop continues from rows that a manual change touched.
extension Draft {
  /// Continues from a proposal after a manual change: counts its votes, and makes the mission of an approved proposal.
  ///
  /// - Parameter existing: The mission that the proposal already has.
  /// - Returns: Whether a mission was made.
  /// - Throws: `OPS_004` or `OPS_005` if its template cannot run.
  public mutating func goOn(
    from proposal: Proposal, existing: StreamID?, policies: Policies, executors: Set<String>
  ) throws(OpsError) -> Bool {
    switch proposal.status {
    case .approved, .autoApproved:
      guard existing == nil else { return false }
      _ = createMission(of: proposal.id, try proposal.checkedTemplate(executors))
      return true
    case .voting:
      let rules = policies.rules(of: proposal)
      guard at <= rules.deadline, existing == nil else { return false }
      return try count(proposal, rules, executors).missionID != nil
    case .pending, .rejected:
      return false
    }
  }

  /// Continues from a mission after a manual change of its steps. It starts, ends or fails as its steps demand. Skipped
  /// steps are queued again if the dead step that they wait for is.
  ///
  /// All steps of the mission are loaded.
  ///
  /// - Returns: The number of steps that were queued again.
  public mutating func goOn(
    from mission: Mission, rules: WorkRules
  ) throws(OpsError) -> Int {
    let siblings = steps.rows.map(\.row).filter { $0.missionID == mission.id }
    guard mission.status != .succeeded, let first = siblings.first else { return 0 }
    let dead = siblings.filter { $0.phase == .dead }.min { ($0.ordinal ?? 0) < ($1.ordinal ?? 0) }
    let isOpen = siblings.contains { $0.phase == .queued || $0.phase == .running }
    if mission.status == .approved, siblings.contains(where: { $0.phase != .queued }) {
      append(.started, of: Mission.self, to: mission.id)
    }
    if let dead, mission.isOpen {
      var counts = StepCounts(unfinished: 0, failed: 0)
      failMission(of: dead, dead.lastError ?? "step \(dead.ordinal ?? 0) is dead", rules, &counts)
      return 0
    }
    guard dead == nil || isOpen else { return 0 }
    let released = Self.released(of: siblings, by: nil)
    for step in released { try requeue(step, "a manual change queued the step that it waits for") }
    if siblings.allSatisfy({ $0.phase == .succeeded }) {
      if mission.status == .failed {
        append(.reopened(step: first.id), of: Mission.self, to: mission.id)
      }
      append(.succeeded, of: Mission.self, to: mission.id)
      reportMission(mission.id, "succeeded", error: nil, rules)
    }
    return released.count
  }
}
