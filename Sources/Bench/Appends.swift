import Dispatch
import Ledger
import Log
import Synchronization

/// Appends of new agent events as the live path makes them, from several connections at once.
struct Appends {
  let target: Session.Target
  let withRows: Bool
  /// Events in one transaction.
  let batch: Int
  let writers: Int
  let duration: Double

  init(_ target: Session.Target, withRows: Bool, batch: Int, writers: Int, seconds: Double) {
    self.target = target
    self.withRows = withRows
    self.batch = batch
    self.writers = writers
    duration = seconds
  }

  func run() throws(OpsError) {
    let failures = Mutex<[OpsError]>([])
    let rate = Mutex<Double>(0)
    let ready = DispatchGroup()
    let go = DispatchSemaphore(value: 0)
    let done = DispatchGroup()
    for writer in 0..<writers {
      ready.enter()
      // A serial queue each has a thread of its own.
      DispatchQueue(label: "writer \(writer)").async(group: done) {
        var isReady = false
        do throws(OpsError) {
          let session = try Session(self.target)
          for _ in 0..<3 { try self.append(session) }
          ready.leave()
          isReady = true
          go.wait()
          let mine = try self.append(session, until: Bench.now() + self.duration)
          rate.withLock { $0 += mine }
        } catch {
          failures.withLock { $0.append(error) }
          if !isReady { ready.leave() }
        }
      }
    }
    ready.wait()
    for _ in 0..<writers { go.signal() }
    done.wait()
    if let failure = failures.withLock({ $0.first }) { throw failure }
    let transactions = rate.withLock { $0 }
    say("tps=\(transactions) events_a_second=\(transactions * Double(batch))")
  }

  /// - Returns: Transactions a second.
  private func append(_ session: Session, until end: Double) throws(OpsError) -> Double {
    let start = Bench.now()
    var count = 0
    while Bench.now() < end {
      try append(session)
      count += 1
    }
    return Double(count) / (Bench.now() - start)
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
