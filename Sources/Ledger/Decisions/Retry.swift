extension Draft {
  /// Queues a dead step again, and with it the steps that were skipped and can now come to run.
  ///
  /// All steps of the mission are loaded. The mission is reopened by the first claim.
  ///
  /// - Returns: How many steps are queued again.
  /// - Throws: `OPS_012` for a step that is not dead: of a skipped one, with the step to retry; `OPS_018` for one
  ///   whose params were erased.
  public mutating func retry(_ step: Step, why: String?) throws(OpsError) -> Int {
    guard !step.isErased else { throw step.erased }
    let siblings = steps.rows.map(\.row).filter { $0.missionID == step.missionID }
    if step.phase == .skipped {
      let dead = siblings.filter { $0.phase == .dead }.map(\.id.description)
      throw OpsError(
        .conflict, "step \(step.id) was skipped, since another step failed",
        hint: "retry that one: \(dead.joined(separator: ", "))",
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

  /// The skipped steps that need none, by whatever detour, of the dead ones but the one retried.
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
  /// Whether nobody knows any more what it was to do.
  public var isErased: Bool { params == Erased.json }

  /// Why it cannot run.
  public var erased: OpsError {
    OpsError(
      .erased, "what step \(id) was to do was erased", hint: "propose it anew",
      facts: ["step_id": id.description])
  }
}
