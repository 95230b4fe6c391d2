import JSON

/// What a loop makes of rows that a hand has changed: it goes on from what they are now.
extension Draft {
  /// A proposal that a hand has put in or changed: votes are counted, and what is approved gets its
  /// mission.
  ///
  /// - Parameter existing: The mission that it has already.
  /// - Returns: Whether a mission was made.
  /// - Throws: `OPS_004`, `OPS_005` where its template cannot run.
  public mutating func goOn(
    from proposal: Proposal, existing: StreamID?, policies: Policies, executors: Set<String>
  ) throws(OpsError) -> Bool {
    switch proposal.status {
    case .approved, .autoApproved:
      guard existing == nil else { return false }
      let value = (try? JSON(parsing: proposal.template)) ?? .null
      _ = createMission(of: proposal.id, try Template(value, executors: executors))
      return true
    case .voting:
      let rules = policies.rules(of: proposal)
      guard at <= rules.deadline, existing == nil else { return false }
      return try count(proposal, rules, executors).missionID != nil
    case .pending, .rejected:
      return false
    }
  }

  /// A mission of which a hand has changed steps: it starts, ends or fails by what they are now, and
  /// steps that were skipped are queued again where what was dead is tried again.
  ///
  /// All steps of the mission are loaded.
  ///
  /// - Returns: How many steps are queued again.
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
    for step in released { try requeue(step, "a hand queued again what it waited for") }
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
