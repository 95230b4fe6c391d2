import JSON
import Ledger

/// What the part of the log that has left the database says of these rows.
struct DepartedCopies {
  private(set) var nouns: [StreamID: NounName] = [:]
  /// Those of which it has content that no erasure was about.
  private(set) var due: Set<StreamID> = []
  private(set) var commands: Set<StreamID> = []
  /// The missions of these rows.
  private(set) var missions: Set<StreamID> = []
  private var entry: Int64 = 0
  /// Changed in this entry.
  private var radar: Set<StreamID> = []
  /// Missions that failed in this entry, with the steps that failed them.
  private var failed: [StreamID: StreamID] = [:]

  mutating func take(
    _ event: EventLine, _ roots: inout [StreamID: NounName], _ others: inout Set<StreamID>,
    _ erased: [StreamID: Int64]
  ) {
    let name = String(decoding: event.type, as: UTF8.self)
    guard let noun = NounName(ofType: name) else { return }
    let type = EventType(name)
    if event.entry != entry { (entry, radar, failed) = (event.entry, [], [:]) }
    if noun == .radar { radar.insert(event.stream) }
    for edge in edges(event, type) {
      if let child = roots[edge.child], edge.leadsUp(from: child) {
        roots[edge.parent] = edge.noun
      }
      if others.contains(edge.parent) || roots[edge.parent] != nil { others.insert(edge.child) }
      if edge.noun == .mission, others.contains(edge.child) || roots[edge.child] != nil {
        missions.insert(edge.parent)
      }
    }
    guard others.contains(event.stream) || roots[event.stream] != nil else { return }
    note(event, noun, type?.common, erased)
  }

  private mutating func note(
    _ event: EventLine, _ noun: NounName, _ kind: CommonKind?, _ erased: [StreamID: Int64]
  ) {
    nouns[event.stream] = noun
    if let command = event.command { commands.insert(command) }
    if event.salt != nil, kind != .erased, event.entry > erased[event.stream] ?? 0 {
      due.insert(event.stream)
    }
  }

  /// One row came of another.
  private struct Edge {
    let parent: StreamID
    let noun: NounName
    let child: StreamID

    /// A mission's words came from its proposal, and that's from the agent event whose reaction led to it.
    func leadsUp(from child: NounName) -> Bool {
      switch (child, noun) {
      case (.mission, .proposal), (.proposal, .reaction), (.reaction, .agentEvent): true
      default: false
      }
    }
  }

  /// As `ledger.copies_of` has them.
  private mutating func edges(_ event: EventLine, _ type: EventType?) -> [Edge] {
    var edges: [Edge] = []
    func add(_ parent: StreamID?, _ noun: NounName, _ child: StreamID?) {
      if let parent, let child { edges.append(Edge(parent: parent, noun: noun, child: child)) }
    }
    let (own, data) = (event.stream, event.data.json ?? .null)
    switch type {
    case .reaction(.own(let kind)):
      switch kind {
      case .queued: add(data.id("event_id"), .agentEvent, own)
      case .done, .failed, .retried: add(own, .reaction, data.id("proposal_id"))
      }
    case .reaction(.common):
      add(data.byHand("event_id")?.id, .agentEvent, own)
      add(own, .reaction, data.byHand("payload")?["result"]?.id("r_proposal_id"))
    case .mission(.own(let kind)):
      switch kind {
      case .created: add(data.id("proposal_id"), .proposal, own)
      case .failed: failed[own] = data.id("step_id")
      case .started, .succeeded, .reopened: break
      }
    case .mission(.common): add(data.byHand("proposal_id")?.id, .proposal, own)
    case .step(.own(let kind)):
      switch kind {
      case .created: add(data.id("mission_id"), .mission, own)
      case .succeeded:
        for read in data["reads"]?.arrayValue ?? [] { add(read.id, .radar, own) }
        // What a step put on the radar repeats the step.
        guard !radar.isEmpty, let id = event.content?.json?["result"]?.id("id") else { break }
        if radar.contains(id) { add(own, .step, id) }
      case .leased, .renewed, .attemptFailed, .retryScheduled, .deadLettered, .skipped, .requeued:
        break
      }
    case .step(.common): add(data.byHand("mission_id")?.id, .mission, own)
    case .run(.own(let kind)):
      switch kind {
      case .started: add(data.id("step_id"), .step, own)
      case .succeeded, .failed: break
      }
    case .run(.common): add(data.byHand("step_id")?.id, .step, own)
    case .agentEvent(.own(let kind)):
      switch kind {
      case .reported:
        add(data.id("mission_id"), .mission, own)
        edges += told(by: event, of: data["type"])
        // A failed mission's report has the error of the step that failed it.
        add(data.id("mission_id").flatMap { failed[$0] }, .step, own)
      case .processed: break
      }
    case .agentEvent(.common(let kind)):
      add(data.byHand("mission_id")?.id, .mission, own)
      if kind == .inserted { edges += told(by: event, of: data.byHand("type")) }
    case .ledger, .policy, .radar, .proposal, .hold, nil: break
    }
    return edges
  }

  /// What an agent event of the loop's own is about.
  private func told(by event: EventLine, of type: JSON?) -> [Edge] {
    let said = event.content?.json?["data"]
    func edge(_ prefix: String, _ noun: NounName, _ name: String) -> Edge? {
      guard type?.stringValue?.hasPrefix(prefix) == true, let id = said?.id(name) else {
        return nil
      }
      return Edge(parent: id, noun: noun, child: event.stream)
    }
    return [
      edge("proposal:", .proposal, "proposal_id"), edge("step:", .step, "step_id"),
    ].compactMap { $0 }
  }
}

extension JSON {
  fileprivate var id: StreamID? { stringValue.flatMap { StreamID($0) } }

  fileprivate func id(_ name: String) -> StreamID? { self[name]?.id }

  /// What an event that carries columns made of one.
  fileprivate func byHand(_ column: String) -> JSON? {
    if let value = self["columns"]?[column] { return value }
    guard let pair = self["changes"]?[column]?.arrayValue, pair.count == 2 else { return nil }
    return pair[1]
  }
}

extension UnsafeRawBufferPointer {
  var json: JSON? { try? JSON(parsing: String(decoding: self, as: UTF8.self)) }
}

extension EventLine {
  /// Whether it says that an agent event has this source, or had it before a hand changed it.
  func hasSource(_ source: String) -> Bool {
    guard NounName(ofType: String(decoding: type, as: UTF8.self)) == .agentEvent,
      let said = content?.json?["data"]
    else { return false }
    return ([said] + (said.arrayValue ?? [])).contains { $0["source"]?.stringValue == source }
  }
}
