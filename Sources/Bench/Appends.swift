import Ledger
import Log
import Synchronization

/// Appends new agent events from several connections at once, with the code that `emit` runs.
struct Appends {
  let target: Session.Target
  let withRows: Bool
  /// Events in one transaction.
  let batch: Int
  let writers: Int
  let seconds: Double

  func run() throws(OpsError) {
    var open: [Session] = []
    for _ in 0..<writers {
      let session = try Session(target)
      for _ in 0..<3 { try append(session) }
      open.append(session)
    }
    // One thread uses each session.
    nonisolated(unsafe) let sessions = open
    let rate = Mutex<Double>(0)
    try onThreads(writers) { (writer) throws(OpsError) in
      let mine = try append(sessions[writer], until: monotonicSeconds() + seconds)
      rate.withLock { $0 += mine }
    }
    let transactions = rate.withLock { $0 }
    say("tps=\(transactions) events_a_second=\(transactions * Double(batch))")
  }

  /// - Returns: Transactions a second.
  private func append(_ session: Session, until end: Double) throws(OpsError) -> Double {
    let start = monotonicSeconds()
    var count = 0
    while monotonicSeconds() < end {
      try append(session)
      count += 1
    }
    return Double(count) / (monotonicSeconds() - start)
  }

  private func append(_ session: Session) throws(OpsError) {
    let command = newCommandID()
    var draft = Draft(at: .allocated, ids: .random())
    let now = Instant(micros: Int64(command.high >> 16) * 1000)
    for _ in 0..<batch {
      let stream = draft.ids.next(at: now)
      draft.append(.reported(Self.report, processed: false), of: AgentEvent.self, to: stream)
    }
    let key = CommandKey(id: command, actor: "cli/bench")
    _ =
      withRows
      ? try session.appendFresh(key, draft) : try session.appendFreshEvents(key, draft)
  }

  /// Data and content of its event have 300 bytes together.
  private static let report = AgentEvent.Report(
    type: "user:request",
    data: """
      {"topic": "Compare the three hosting offers", "source": "chat", "details": "\(
        String(repeating: "price, region, backup and support of each; ", count: 4))"}
      """)
}
