/// What the loop is set to; the runbook's variables with the runbook's defaults.
public struct LoopSettings: Sendable {
  /// Agent events of one heartbeat (OPS_EVENT_BATCH_SIZE).
  public var eventBatch = 50
  /// Reactions of one heartbeat (OPS_REACTION_BATCH_SIZE).
  public var reactionBatch = 50
  /// OPS_STEP_LEASE_MINUTES, in seconds.
  public var leaseSeconds = 300.0
  /// What a worker was told for itself (`worker --lease`), in seconds: it goes before the policy.
  public var ownLeaseSeconds: Double?
  /// OPS_WORKER_MAX_RETRIES: attempts in all.
  public var attemptsMax: Int32 = 3
  /// OPS_STALE_STEP_MINUTES, in seconds: the lease of a step that was claimed without one.
  public var staleSeconds = 900.0

  /// How long a batch's conditions may take, in seconds, and those of one agent event alone.
  public var conditionSeconds = (batch: 30, alone: 5)

  public init() {}
}
