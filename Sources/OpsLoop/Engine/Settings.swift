/// The settings of the loop, with their defaults.
public struct LoopSettings: Sendable {
  /// Agent events of one heartbeat (OPS_EVENT_BATCH_SIZE).
  public var eventBatch = 50
  /// Reactions of one heartbeat (OPS_REACTION_BATCH_SIZE).
  public var reactionBatch = 50
  /// The length of a lease in seconds (OPS_STEP_LEASE_MINUTES).
  public var leaseSeconds = 300.0
  /// The length of this worker's leases in seconds (`worker --lease`), which overrides the policy.
  public var ownLeaseSeconds: Double?
  /// Attempts in all (OPS_WORKER_MAX_RETRIES).
  public var attemptsMax: Int32 = 3
  /// The seconds that a step without a lease may run (OPS_STALE_STEP_MINUTES).
  public var staleSeconds = 900.0
  /// The seconds that the conditions of a batch may take, and those of one agent event alone.
  public var conditionSeconds = (batch: 30, alone: 5)

  public init() {}
}
