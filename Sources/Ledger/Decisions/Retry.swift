extension Draft {
  /// Queues a dead step again, and the skipped steps that can run after it.
  ///
  /// All steps of the mission are loaded. The first claim reopens the mission.
  ///
  /// - Returns: The number of steps that were queued again.
  /// - Throws: `OPS_012` for a step that is not dead; its hint for a skipped step names the step to retry. `OPS_018`
  ///   for a step whose params were erased.
  public mutating func retry(_ step: Step, why: String?) throws(OpsError) -> Int {
    guard !step.isErased else { throw step.erased }
    let siblings = steps.rows.map(\.row).filter { $0.missionID == step.missionID }
    if step.phase == .skipped {
      let dead = siblings.filter { $0.phase == .dead }.map(\.id.description)
      throw OpsError(
        .conflict, "step \(step.id) was skipped because another step failed; it was not retried",
        hint: "retry the failed step: \(dead.joined(separator: ", "))",
        facts: ["step_id": step.id.description, "status": step.status.rawValue])
    }
    try requeue(step, why)
    let released = Self.released(of: siblings, by: step.id)
    for sibling in released { try requeue(sibling, why) }
    return 1 + released.count
  }

  mutating func requeue(_ step: Step, _ why: String?) throws(OpsError) {
    for event in try Step.decide(.requeue(why: why), given: step) {
      append(event, of: Step.self, to: step.id)
    }
  }

  /// The skipped steps that need, directly or indirectly, no dead step except the retried one.
  static func released(of siblings: [Step], by retried: StreamID?) -> [Step] {
    var blocked = Set(
      siblings.filter { $0.phase == .dead && $0.id != retried }.compactMap(\.ordinal))
    let skipped = siblings.filter { $0.phase == .skipped }
    var isGrowing = true
    while isGrowing {
      let before = blocked.count
      for step in skipped where (step.needs ?? []).contains(where: blocked.contains) {
        if let ordinal = step.ordinal { blocked.insert(ordinal) }
      }
      isGrowing = blocked.count > before
    }
    return skipped.filter { step in
      !(step.needs ?? []).contains(where: blocked.contains)
    }
  }
}

extension Step {
  public var isErased: Bool { params == Erased.json }

  /// The reason why an erased step cannot run.
  public var erased: OpsError {
    OpsError(
      .erased, "the params of step \(id) were erased, so it cannot run",
      hint: "submit a new proposal with `opsledger proposal submit`",
      facts: ["step_id": id.description])
  }
}
