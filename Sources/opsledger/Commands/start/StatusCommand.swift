import Archive
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `status`: how the ledger is.
enum StatusCommand {
  static let all = [status]

  static let status = Command(
    group: .start, name: "status",
    summary: "say how the ledger is: queues, missions, stores, and what needs somebody",
    options: [
      .init(name: "watch", help: "go on, once in so much time"),
      .init(name: "every", value: "D", help: "with --watch: how often (2s)"),
    ],
    notes: [
      "The seal is how far the log can no longer change. An append that stays open holds it back, "
        + "and nobody else; it is named here.",
      "Each store that is named (--store, OPS_STORE) is asked how far it goes: the end of its last segment, and whether "
        + "its root there is this database's.",
      "Policies that are broken, executors that are paused, and tables that were emptied behind the log are named where "
        + "there are any.",
    ],
    examples: [
      .init(line: "status --json", meaning: "entry is the last one that is sealed"),
      .init(line: "--store /backup/ops status", meaning: "what does that store lack?"),
      .init(line: "status --watch", meaning: "for as long as somebody looks"),
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every") ?? 2000
    guard every >= 100 else { throw .badInput("--every wants a time of at least 100ms") }
    let stores = try stores(call)
    let engine = Engine(try call.session(), actor: "status")
    engine.session.hurry()
    guard call.flag("watch") else { return try print(engine, stores, call) }
    let stop = StopSignal()
    repeat {
      // A terminal is cleared, a pipe gets one after the other.
      if !call.wantsJSON, Terminal.isTerminal(1) { Output.standard.control("\u{1B}[H\u{1B}[2J") }
      do throws(OpsError) {
        _ = try print(engine, stores, call)
      } catch {
        guard Outage.wait(for: engine.session, error, stop) || stop.isRaised else { throw error }
        continue
      }
      Output.standard.flush()
    } while stop.sleep(millis: every)
    return .fine
  }

  private typealias NamedStore = (place: String, opened: Result<any ObjectStore, OpsError>)

  /// A store that cannot even be opened, as a bucket without a key, is one that nobody knows of; what is no name of a
  /// store is refused.
  private static func stores(_ call: Invocation) throws(OpsError) -> [NamedStore] {
    var stores: [NamedStore] = []
    for place in try call.stores() where !stores.contains(where: { $0.place == place }) {
      do throws(OpsError) { stores.append((place, .success(try call.openStore(place)))) } catch {
        if error.code == .badInput { throw error }
        stores.append((place, .failure(error)))
      }
    }
    return stores
  }

  private static func print(
    _ engine: Engine, _ stores: [NamedStore], _ call: Invocation
  ) throws(OpsError) -> ExitStatus {
    let session = engine.session
    let ledger = try session.ledgerRecord()
    let status = try session.status()
    var statuses: [StatusReport.Store] = []
    for (place, opened) in stores {
      let storeStatus: StoreStatus
      switch opened {
      case .success(let files):
        storeStatus = try StoreStatus(
          of: files, session, identity: ledger.identity, sealed: status.sealed)
      case .failure(let error): storeStatus = .unknown(reason: "\(error)")
      }
      statuses.append(.init(place: place, status: storeStatus))
    }
    let report = StatusReport(
      status: status, ledger: ledger, stores: statuses, policies: try engine.policyFaults(),
      executors: try engine.executors().filter { $0.state != .running },
      halt: try engine.policies().halt)
    if call.wantsJSON {
      Output.standard.line(report.json)
    } else {
      let halted =
        if let halt = report.halt { try LoopCommands.haltLine(session, why: halt) } else { "" }
      Output.standard.write(Facts.text(report.facts(halted: halted)))
    }
    return .fine
  }
}
