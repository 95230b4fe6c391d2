import Archive
import Host
import JSON
import Ledger
import Log
import OpsLoop

/// `status`: the state of the ledger.
enum StatusCommand {
  static let status = Command(
    group: .start, name: "status",
    summary: "show queues, missions and stores, and what needs a person",
    options: [
      .flag("watch", "print the status again and again"),
      .value("every", "D", "with --watch: the interval (2s)"),
    ],
    notes: [
      "Entries up to the seal never change. Only an open transaction that records something holds the seal back; "
        + "status names it.",
      "For each named store (--store, OPS_STORE) it shows the last stored entry, and whether the store's Merkle root "
        + "there is this database's.",
      "It also names invalid policies, paused executors, quarantined rows, and tables that were emptied.",
    ],
    examples: [
      "status --json": "entry is the last sealed entry",
      "--store /backup/ops status": "which entries does that store lack?",
      "status --watch": "a display that stays up to date",
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every") ?? 2000
    guard every >= 100 else { throw .badInput("--every needs a duration of at least 100ms") }
    let stores = try stores(call)
    let engine = Engine(try call.session(), actor: "status")
    engine.session.hurry()
    guard call.flag("watch") else { return try print(engine, stores, call) }
    let stop = StopSignal()
    repeat {
      // Clears a terminal.
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

  /// Opens the stores. A store that cannot be opened, such as a bucket without a key, is reported as unknown; a name
  /// that is not a store's is refused.
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
    let halted = try report.halt.map { (why) throws(OpsError) in
      try LoopCommands.haltLine(session, why: why)
    }
    call.print(Facts.text(report.facts(halted: halted))) { report.json(&$0) }
    return .fine
  }
}
