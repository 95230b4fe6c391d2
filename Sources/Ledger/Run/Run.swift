public import JSON

/// One attempt of a step: a row of `ops_action_runs`. Its id is a half of the lease's fencing token.
public struct Run: Sendable {
  public enum Status: String, CaseIterable, Sendable { case started, succeeded, failed }

  public var id: StreamID
  public var runID: String?
  public var stepID: StreamID?
  public var executor: String?
  public var status: Status = .started
  public var startedAt: Instant
  public var completedAt: Instant?
  public var meta: String?
  public var error: String?
  public var version: Int32 = 0

  public init(blank stream: StreamID) {
    id = stream
    startedAt = Instant(micros: 0)
  }

  public enum Event: Equatable, Sendable {
    /// `attempt` is the version that the lease gave the step. The row's `run_id` consists of the two, unless another
    /// row had that one: `runID` replaces it then.
    case started(
      step: StreamID, attempt: Int32, kind: String, executor: String?, runID: String? = nil)
    case succeeded
    case failed(Step.FailureClass, retrying: Bool, error: String?)
  }
}

extension Run: Row {
  public static let name = RowType.run
  public static let table = "ops_action_runs"
  public static var drafted: any DraftPath<Run> { \.runs }
  public static let columns: [Column<Run>] = [
    .uuid("id", \.id),
    .text("run_id", \.runID),
    .uuid("step_id", \.stepID),
    .text("executor", \.executor),
    .label("status", \.status, type: "ops_action_run_status"),
    .time("started_at", \.startedAt),
    .time("completed_at", \.completedAt),
    .json("meta", \.meta, .mixed),
    .text("error", \.error, .content),
    .int("version", \.version),
  ]

  public static func evolve(_ row: inout Run?, _ event: Event, _ recorded: Recorded) {
    switch event {
    case .started(let step, let attempt, let kind, let executor, let runID):
      var fresh = Run(blank: recorded.stream)
      fresh.runID = runID ?? "\(step)-\(attempt)"
      fresh.stepID = step
      fresh.executor = executor
      fresh.startedAt = recorded.at
      fresh.meta = #"{"kind": "# + JSON.string(kind).text + "}"
      row = fresh
    case .succeeded:
      row?.status = .succeeded
      row?.completedAt = recorded.at
    case .failed(let failureClass, let retrying, let error):
      row?.status = .failed
      row?.completedAt = recorded.at
      row?.error = error
      let meta = row?.meta ?? "{}"
      row?.meta =
        meta
        .settingMember("class", to: .string(failureClass.rawValue))
        .settingMember("retrying", to: .bool(retrying))
    }
  }

  /// The engine's members of `meta` are data. Other members are content.
  public mutating func eraseContent() {
    error = nil
    guard let meta else { return }
    let members = meta.asJSON.objectValue ?? [:]
    self.meta = JSON.object(members.structure("kind", "class", "retrying")).text
  }
}

extension Run.Event: RowEvent {
  public enum Kind: String, CaseIterable, Sendable { case started, succeeded, failed }

  public var kind: Kind {
    switch self {
    case .started: .started
    case .succeeded: .succeeded
    case .failed: .failed
    }
  }

  public func write(data: inout JSONObjectWriter, content: inout JSONObjectWriter) {
    switch self {
    case .started(let step, let attempt, let kind, let executor, let runID):
      data.string("step_id", step.description)
      data.int("attempt", attempt)
      data.string("kind", kind)
      if let executor { data.string("executor", executor) }
      if let runID { data.string("run_id", runID) }
    case .succeeded: break
    case .failed(let failureClass, let retrying, let error):
      data.string("class", failureClass.rawValue)
      data.bool("retrying", retrying)
      if let error { content.string("error", error) }
    }
  }

  public init(_ kind: Kind, from payload: Payload) throws(Unreadable) {
    switch kind {
    case .started:
      self = .started(
        step: try payload.id("step_id"), attempt: try payload.int("attempt"),
        kind: try payload.text("kind"), executor: payload.optionalText("executor"),
        runID: payload.optionalText("run_id"))
    case .succeeded: self = .succeeded
    case .failed:
      self = .failed(
        try payload.label("class", as: Step.FailureClass.self),
        retrying: try payload.bool("retrying"), error: payload.optionalContentText("error"))
    }
  }
}
