import JSON

extension Draft {
  /// Queues a reaction again if its proposal was invalid or a cap refused it.
  ///
  /// - Throws: `OPS_012` for another reaction; `OPS_018` if its template was erased.
  public mutating func retry(_ reaction: Reaction, why: String?) throws(OpsError) {
    guard !reaction.isErased else { throw reaction.erased }
    guard reaction.mayBeRetried else {
      throw OpsError(
        .conflict, "cannot retry reaction \(reaction.id): it is \(reaction.status.rawValue)",
        hint: "retry a reaction that failed, or whose proposal a cap refused",
        facts: ["reaction_id": reaction.id.description, "status": reaction.status.rawValue])
    }
    append(.retried(why: why), of: Reaction.self, to: reaction.id)
  }
}

extension Reaction {
  /// Whether it failed, or a cap refused its proposal, which then lost its dedupe key.
  public var mayBeRetried: Bool {
    switch status {
    case .failed: true
    case .done:
      payload.asJSON["result"]?["r_status"] == .string(Proposal.Status.rejected.rawValue)
    case .queued, .processing: false
    }
  }

  public var isErased: Bool {
    payload.asJSON["proposal_template"] == .object(["erased": .bool(true)])
  }

  var erased: OpsError {
    OpsError(
      .erased, "the template of reaction \(id) was erased, so it cannot be retried",
      hint: "submit a new proposal with `opsledger proposal submit`",
      facts: ["reaction_id": id.description])
  }
}
