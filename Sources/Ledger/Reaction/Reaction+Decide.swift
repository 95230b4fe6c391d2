import JSON

extension Draft {
  /// Queues a reaction again whose proposal could not be made, or was refused by a cap.
  ///
  /// - Throws: `OPS_012` for any other; `OPS_018` for one whose template was erased.
  public mutating func retry(_ reaction: Reaction, why: String?) throws(OpsError) {
    guard !reaction.isErased else { throw reaction.erased }
    guard reaction.mayBeRetried else {
      throw OpsError(
        .conflict, "cannot retry reaction \(reaction.id): it is \(reaction.status.rawValue)",
        hint: "only one that failed, or whose proposal a cap refused, is retried",
        facts: ["reaction_id": reaction.id.description, "status": reaction.status.rawValue])
    }
    append(.retried(why: why), of: Reaction.self, to: reaction.id)
  }
}

extension Reaction {
  /// Whether it came to nothing: it failed, or the gate refused its proposal, which gave its key up again.
  public var mayBeRetried: Bool {
    switch status {
    case .failed: true
    case .done:
      (try? JSON(parsing: payload))?["result"]?["r_status"]
        == .string(Proposal.Status.rejected.rawValue)
    case .queued, .processing: false
    }
  }

  /// Whether nobody knows any more what it was to propose.
  public var isErased: Bool {
    (try? JSON(parsing: payload))?["proposal_template"] == .object(["erased": .bool(true)])
  }

  var erased: OpsError {
    OpsError(
      .erased, "what reaction \(id) was to propose was erased", hint: "propose it anew",
      facts: ["reaction_id": id.description])
  }
}
