import JSON
import Ledger
import Log
import Postgres

/// A row that holds what is to be erased, or held it.
struct Holder: Equatable {
  let stream: StreamID
  let noun: NounName
  /// Nil where all of its events are in the store only.
  let version: Int32?
  let isDue: Bool
}

/// Follows the names that events carry, in the database by ``ledger.copies_of`` and beside it in what has left it, until
/// nothing more is found.
struct ErasureSearch {
  private let session: Session
  private let target: ErasureTarget
  /// What others came of, up to an agent event.
  private var roots: [StreamID: NounName]
  private var others: Set<StreamID> = []
  private(set) var holders: [Holder] = []
  private(set) var departed = DepartedCopies()
  private var missionsHere: Set<StreamID> = []
  /// The missions of the rows that hold a copy, also where the missions themselves hold none.
  var missions: Set<StreamID> { missionsHere.union(departed.missions) }

  /// - Throws: `OPS_011` where there is no such row.
  init(_ target: ErasureTarget, _ session: Session) throws(OpsError) {
    self.session = session
    self.target = target
    var noun = target.noun
    if noun == nil { noun = try session.noun(of: target.id) }
    guard let noun, noun != .ledger else { throw target.notFound }
    roots = [target.id: noun]
  }

  /// - Throws: `OPS_011` where the log knows no such row.
  mutating func run() throws(OpsError) {
    try search()
    guard holders.first(where: { $0.stream == target.id })?.noun == roots[target.id] else {
      throw target.notFound
    }
  }

  private mutating func search() throws(OpsError) {
    let erased = try session.erasedEntries()
    while true {
      try take(session.query(Self.copies, parameters))
      let known = roots.count + others.count
      var (roots, others, found) = (roots, others, DepartedCopies())
      let hasDeparted = try session.eachDeparted { (event) throws(OpsError) in
        found.take(event, &roots, &others, erased)
      }
      guard hasDeparted else { return }
      (self.roots, self.others, departed) = (roots, others, found)
      if roots.count + others.count == known { break }
    }
    try take(session.query(Self.copies, parameters))
  }

  /// What is asked again under the locks: the answer must be the same.
  var question: (Statement, Parameters) { (Self.copies, parameters) }

  func isSame(_ rows: Rows) throws(OpsError) -> Bool {
    var other = self
    try other.take(rows)
    return other.holders == holders
  }

  private var parameters: Parameters {
    let known = roots.sorted { $0.key.description < $1.key.description }
    var parameters = Parameters()
    parameters.uuids(known.map(\.key))
    parameters.texts(known.map(\.value.rawValue))
    parameters.uuids(others)
    return parameters
  }

  private static let copies = Statement(
    """
    SELECT stream, noun, version, root_noun, is_due, mission
    FROM ledger.copies_of($1::uuid[], $2::text[], $3::uuid[])
    """)

  private mutating func take(_ rows: Rows) throws(OpsError) {
    holders = []
    try onRow { () throws(PostgresError) in
      for row in 0..<rows.count {
        let stream = StreamID(try rows.uuid(row, 0))
        others.insert(stream)
        if let mission = try rows.uuidIfPresent(row, 5) { missionsHere.insert(StreamID(mission)) }
        if let root = try rows.textIfPresent(row, 3).flatMap(NounName.init) { roots[stream] = root }
        let here = try rows.textIfPresent(row, 1).flatMap(NounName.init)
        guard let noun = here ?? departed.nouns[stream] else { continue }
        let isDue = try rows.bool(row, 4) || departed.due.contains(stream)
        let version = here == nil ? nil : try rows.int4(row, 2)
        holders.append(Holder(stream: stream, noun: noun, version: version, isDue: isDue))
      }
    }
  }
}

/// What the part of the log that has left the database says of these rows.
struct DepartedCopies {
  private(set) var nouns: [StreamID: NounName] = [:]
  /// Those of which it has content that no erasure was about.
  private(set) var due: Set<StreamID> = []
  private(set) var commands: Set<StreamID> = []
  /// Sources of agent events, and the times of missions, which holds may be on.
  private(set) var sources: Set<String> = []
  private(set) var times: [StreamID: ClosedRange<Instant>] = [:]
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
    if noun == .mission {
      let past = times[event.stream] ?? event.recordedAt...event.recordedAt
      times[event.stream] =
        min(past.lowerBound, event.recordedAt)...max(past.upperBound, event.recordedAt)
    }
    if noun == .agentEvent, let source = event.content?.json?["data"]?["source"]?.stringValue {
      sources.insert(source)
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
  fileprivate var json: JSON? { try? JSON(parsing: String(decoding: self, as: UTF8.self)) }
}

extension ErasureTarget {
  fileprivate var notFound: OpsError {
    switch self {
    case .mission(let id): .notFound("mission", id)
    case .event(let id): .notFound("event", id)
    case .row(let id):
      OpsError(
        .notFound, "no row that can be erased has the id \(id)",
        hint: "see `opsledger log show`; the ledger's own row is never erased",
        facts: ["row_id": id.description])
    }
  }
}

extension Session {
  /// The noun of a stream, also of one whose row or events have left.
  fileprivate func noun(of stream: StreamID) throws(OpsError) -> NounName? {
    var parameters = Parameters()
    parameters.uuid(stream)
    let rows = try query(
      Statement(
        """
        SELECT split_part(e.type, '.', 1) FROM ledger.events_at_hand AS e WHERE e.stream = $1::uuid
        UNION ALL SELECT t.noun FROM ledger.tombstones AS t WHERE t.stream = $1::uuid LIMIT 1
        """), parameters)
    if let noun = try onRow({ () throws(PostgresError) in
      rows.count == 0 ? nil : NounName(rawValue: try rows.text(0, 0))
    }) {
      return noun
    }
    var noun: NounName?
    _ = try eachDeparted { (event) throws(OpsError) in
      guard event.stream == stream else { return }
      noun = NounName(
        rawValue: String(decoding: event.type.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self))
    }
    return noun
  }

  fileprivate func erasedEntries() throws(OpsError) -> [StreamID: Int64] {
    let rows = try query(Statement("SELECT x.stream, x.entry FROM ledger.believed_erasures() AS x"))
    return try onRow { () throws(PostgresError) in
      var entries: [StreamID: Int64] = [:]
      for row in 0..<rows.count {
        entries[StreamID(try rows.uuid(row, 0))] = try rows.int8(row, 1)
      }
      return entries
    }
  }
}
