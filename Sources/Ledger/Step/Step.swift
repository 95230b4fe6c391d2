public import JSON

/// One step of a mission: a row of `ops_mission_steps`. The holder of its lease runs it.
public struct Step: Sendable {
  public enum Status: String, CaseIterable, Sendable { case queued, running, succeeded, failed }
  /// The kind of a failure.
  public enum FailureClass: String, CaseIterable, Sendable {
    case exit, timeout, spawn, refused
    case leaseExpired = "lease_expired"
  }

  public var id: StreamID
  public var missionID: StreamID
  public var kind: String
  public var params: String
  public var status: Status = .queued
  public var executor: String?
  public var reservedAt: Instant?
  public var leaseExpiresAt: Instant?
  public var failureCount: Int32 = 0
  public var maxRetries: Int32?
  public var lastError: String?
  public var result: String?
  public var createdAt: Instant
  public var updatedAt: Instant
  public var version: Int32 = 0
  public var ordinal: Int32?
  /// The ordinals of the steps that must have succeeded before this one may run.
  public var needs: [Int32]?
  public var notBefore: Instant?
  public var leasedBy: String?

  public init(blank stream: StreamID) {
    id = stream
    missionID = StreamID(high: 0, low: 0)
    kind = ""
    params = "{}"
    createdAt = Instant(micros: 0)
    updatedAt = Instant(micros: 0)
  }

  public struct Plan: Equatable, Sendable {
    public var missionID: StreamID
    public var ordinal: Int32
    public var kind: String
    public var executor: String
    public var needs: [Int32]
    public var maxRetries: Int32?
    public var params: String
  }

  public struct Lease: Equatable, Sendable {
    public var worker: String
    public var runID: StreamID
    public var expiresAt: Instant
  }

  public struct Failure: Equatable, Sendable {
    public var failureClass: FailureClass
    /// The number of failed attempts, with this one.
    public var failureCount: Int32
    public var runID: StreamID?
    public var error: String?
    public var result: String?
  }

  public enum Event: Equatable, Sendable {
    case created(Plan)
    case leased(Lease)
    case renewed(expiresAt: Instant)
    /// `reads`: the rows whose content the result copies. An erasure of such a row also erases the result.
    case succeeded(runID: StreamID, result: String?, reads: [StreamID] = [])
    /// The same entry has the next event: a retry is scheduled, or the step is dead.
    case attemptFailed(Failure)
    case retryScheduled(notBefore: Instant?)
    case deadLettered(maxRetries: Int32)
    /// It does not run, since an earlier step is dead.
    case skipped(becauseOf: Int32)
    /// A person or a manual change queued it again.
    case requeued(why: String?)
  }
}

extension Step: Row {
  public static let name = RowType.step
  public static let table = "ops_mission_steps"
  public static var drafted: any DraftPath<Step> { \.steps }
  public static let columns: [Column<Step>] = [
    .uuid("id", \.id),
    .uuid("mission_id", \.missionID),
    .text("kind", \.kind),
    .json("params", \.params, .content),
    .label("status", \.status, type: "ops_step_status"),
    .text("executor", \.executor),
    .time("reserved_at", \.reservedAt),
    .time("lease_expires_at", \.leaseExpiresAt),
    .int("failure_count", \.failureCount),
    .int("max_retries", \.maxRetries),
    .text("last_error", \.lastError, .content),
    .json("result", \.result, .content),
    .time("created_at", \.createdAt),
    .time("updated_at", \.updatedAt),
    .int("version", \.version),
    .int("ordinal", \.ordinal),
    .ints("needs", \.needs),
    .time("not_before", \.notBefore),
    .text("leased_by", \.leasedBy),
  ]

  public static func evolve(_ row: inout Step?, _ event: Event, _ recorded: Recorded) {
    if case .created(let plan) = event {
      var fresh = Step(blank: recorded.stream)
      fresh.missionID = plan.missionID
      fresh.kind = plan.kind
      fresh.params = plan.params
      fresh.executor = plan.executor
      fresh.maxRetries = plan.maxRetries
      fresh.ordinal = plan.ordinal
      fresh.needs = plan.needs
      fresh.createdAt = recorded.at
      fresh.updatedAt = recorded.at
      row = fresh
    } else {
      row?.evolve(event, at: recorded.at)
    }
  }

  private mutating func evolve(_ event: Event, at instant: Instant) {
    switch event {
    case .created: break
    case .leased(let lease):
      status = .running
      reservedAt = instant
      leaseExpiresAt = lease.expiresAt
      leasedBy = lease.worker
      notBefore = nil
    case .renewed(let expiresAt): leaseExpiresAt = expiresAt
    case .succeeded(_, let result, _):
      status = .succeeded
      self.result = result
    case .attemptFailed(let failure):
      failureCount = failure.failureCount
      lastError = failure.error
      if let result = failure.result { self.result = result }
    case .retryScheduled(let notBefore):
      status = .queued
      self.notBefore = notBefore
      clearLease()
    case .deadLettered:
      status = .failed
      clearLease()
    case .skipped(let ordinal):
      status = .failed
      failureCount = 0
      lastError = "skipped: step \(ordinal) failed"
    case .requeued:
      status = .queued
      failureCount = 0
      lastError = nil
      reservedAt = nil
      notBefore = nil
      clearLease()
    }
    updatedAt = max(updatedAt, instant)
  }

  private mutating func clearLease() {
    leaseExpiresAt = nil
    leasedBy = nil
  }
}

extension Step.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable {
    case created, leased, renewed, succeeded, skipped, requeued
    case attemptFailed = "attempt_failed"
    case retryScheduled = "retry_scheduled"
    case deadLettered = "dead_lettered"
  }

  public var kind: Kind {
    switch self {
    case .created: .created
    case .leased: .leased
    case .renewed: .renewed
    case .succeeded: .succeeded
    case .attemptFailed: .attemptFailed
    case .retryScheduled: .retryScheduled
    case .deadLettered: .deadLettered
    case .skipped: .skipped
    case .requeued: .requeued
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .created(let plan):
      data.string("mission_id", plan.missionID.description)
      data.int("ordinal", plan.ordinal)
      data.string("kind", plan.kind)
      data.string("executor", plan.executor)
      data.json("needs", .array(plan.needs.map(JSON.int)))
      if let maxRetries = plan.maxRetries { data.int("max_retries", maxRetries) }
      content.raw("params", WrappedJSON.wrap(plan.params))
    case .leased(let lease):
      data.string("worker", lease.worker)
      data.string("run_id", lease.runID.description)
      data.string("lease_expires_at", lease.expiresAt.description)
    case .renewed(let expiresAt): data.string("lease_expires_at", expiresAt.description)
    case .succeeded(let runID, let result, let reads):
      data.string("run_id", runID.description)
      if !reads.isEmpty { data.json("reads", .array(reads.map { .string($0.description) })) }
      if let result { content.raw("result", WrappedJSON.wrap(result)) }
    case .attemptFailed(let failure):
      data.string("class", failure.failureClass.rawValue)
      data.int("failure_count", failure.failureCount)
      if let runID = failure.runID { data.string("run_id", runID.description) }
      if let error = failure.error { content.string("error", error) }
      if let result = failure.result { content.raw("result", WrappedJSON.wrap(result)) }
    case .retryScheduled(let notBefore):
      if let notBefore { data.string("not_before", notBefore.description) }
    case .deadLettered(let maxRetries): data.int("max_retries", maxRetries)
    case .skipped(let ordinal): data.int("failed_ordinal", ordinal)
    case .requeued(let why): if let why { content.string("why", why) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .created:
      self = .created(
        Step.Plan(
          missionID: try payload.id("mission_id"), ordinal: try payload.int("ordinal"),
          kind: try payload.text("kind"), executor: try payload.text("executor"),
          needs: try payload.optionalInts("needs") ?? [],
          maxRetries: try payload.optionalInt("max_retries"),
          params: try payload.contentJSON("params")))
    case .leased:
      self = .leased(
        Step.Lease(
          worker: try payload.text("worker"), runID: try payload.id("run_id"),
          expiresAt: try payload.time("lease_expires_at")))
    case .renewed: self = .renewed(expiresAt: try payload.time("lease_expires_at"))
    case .succeeded:
      self = .succeeded(
        runID: try payload.id("run_id"), result: payload.optionalContentJSON("result"),
        reads: try payload.optionalIDs("reads") ?? [])
    case .attemptFailed:
      self = .attemptFailed(
        Step.Failure(
          failureClass: try payload.label("class", as: Step.FailureClass.self),
          failureCount: try payload.int("failure_count"),
          runID: try payload.optionalID("run_id"), error: payload.optionalContentText("error"),
          result: payload.optionalContentJSON("result")))
    case .retryScheduled:
      self = .retryScheduled(notBefore: try payload.optionalTime("not_before"))
    case .deadLettered: self = .deadLettered(maxRetries: try payload.int("max_retries"))
    case .skipped: self = .skipped(becauseOf: try payload.int("failed_ordinal"))
    case .requeued: self = .requeued(why: payload.optionalContentText("why"))
    }
  }
}
