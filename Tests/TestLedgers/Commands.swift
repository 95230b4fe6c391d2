import Crypto
import JSON
public import Ledger
public import Log
import Postgres
public import Testing

extension Trait where Self == ConditionTrait {
  public static var needsServer: Self {
    .enabled(if: TestServer.url != nil, Comment(rawValue: TestServer.missing))
  }
}

extension Command where Answer == StreamID {
  /// Records agent events, each a stream of its own, and answers with the first one's id.
  public static func report(_ reports: AgentEvent.Report..., reads: Reads = Reads()) -> Command {
    Command(reads) { (_, draft) throws(OpsError) in
      var first: StreamID?
      for report in reports {
        let id = draft.newID()
        first = first ?? id
        draft.append(.reported(report, processed: false), of: AgentEvent.self, to: id)
      }
      return first ?? .ledger
    }
  }
}

extension Command where Answer == Int {
  /// Adds one to policy `counter`, which is read without a lock: whoever is slower loses the race.
  public static func count() -> Command {
    let read = Statement(
      "SELECT \(Policy.select("p")) FROM public.ops_policy AS p WHERE key = 'counter'")
    var reads = Reads()
    let policies = reads.rows(of: Policy.self, read)
    return Command(reads) { (found, draft) throws(OpsError) in
      let stream = StreamID.policy("counter")
      var count = 0
      if let policy = try found[policies].first {
        try draft.load(policy, as: stream)
        count = (try? JSON(parsing: policy.value))?.intValue ?? 0
      }
      draft.append(
        .set(key: "counter", value: JSON.int(count + 1).text, rollbackTo: nil, why: nil),
        of: Policy.self, to: stream)
      return count + 1
    }
  }
}

extension CommandKey {
  public static func new() -> CommandKey { CommandKey(id: newCommandID(), actor: "test") }
}

extension IdempotencyKey {
  public static func new(_ key: StreamID = newCommandID(), of request: String = "a request")
    -> IdempotencyKey
  {
    IdempotencyKey(key, actor: "test", request: SHA256.hash(request))
  }
}

extension AgentEvent.Report {
  public static func sample(
    _ type: String = "test:sample", data: String = "{}", thought: String? = nil
  ) -> AgentEvent.Report {
    AgentEvent.Report(type: type, data: data, thought: thought)
  }
}

/// New agent events, for an append in one statement.
public func freshDraft(_ reports: AgentEvent.Report...) -> Draft {
  var draft = Draft(at: .allocated, ids: .random())
  for report in reports {
    draft.append(
      .reported(report, processed: false), of: AgentEvent.self, to: newCommandID())
  }
  return draft
}
