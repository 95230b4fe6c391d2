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
  /// What others came of, up to an agent event.
  private var roots: [StreamID: NounName]
  private var others: Set<StreamID> = []
  private(set) var holders: [Holder] = []
  private(set) var departed = DepartedCopies()

  init(_ target: ErasureTarget, _ session: Session) {
    self.session = session
    roots = [target.id: target.noun]
  }

  mutating func run() throws(OpsError) {
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
    SELECT stream, noun, version, root_noun, is_due
    FROM ledger.copies_of($1::uuid[], $2::text[], $3::uuid[])
    """)

  private mutating func take(_ rows: Rows) throws(OpsError) {
    holders = []
    try onRow { () throws(PostgresError) in
      for row in 0..<rows.count {
        let stream = StreamID(try rows.uuid(row, 0))
        others.insert(stream)
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
  private var entry: Int64 = 0
  /// Changed in this entry.
  private var radar: Set<StreamID> = []

  mutating func take(
    _ event: EventLine, _ roots: inout [StreamID: NounName], _ others: inout Set<StreamID>,
    _ erased: [StreamID: Int64]
  ) {
    let parts = String(decoding: event.type, as: UTF8.self).split(separator: ".")
    guard parts.count == 2, let noun = NounName(rawValue: String(parts[0])) else { return }
    if event.entry != entry { (entry, radar) = (event.entry, []) }
    if noun == .radar { radar.insert(event.stream) }
    let what = String(parts[1])
    for edge in edges(event, noun, what) {
      if let child = roots[edge.child], edge.leadsUp(from: child) {
        roots[edge.parent] = edge.noun
      }
      if others.contains(edge.parent) || roots[edge.parent] != nil { others.insert(edge.child) }
    }
    guard others.contains(event.stream) || roots[event.stream] != nil else { return }
    note(event, noun, what, erased)
  }

  private mutating func note(
    _ event: EventLine, _ noun: NounName, _ what: String, _ erased: [StreamID: Int64]
  ) {
    nouns[event.stream] = noun
    if let command = event.command { commands.insert(command) }
    if event.salt != nil, what != "erased", event.entry > erased[event.stream] ?? 0 {
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
  private func edges(_ event: EventLine, _ noun: NounName, _ what: String) -> [Edge] {
    let byHand = ["inserted", "amended", "restored"].contains(what)
    var edges: [Edge] = []
    func add(_ parent: StreamID?, _ noun: NounName, _ child: StreamID?) {
      if let parent, let child { edges.append(Edge(parent: parent, noun: noun, child: child)) }
    }
    func named(_ name: String, in data: JSON) -> StreamID? {
      let value = data[name] ?? data["columns"]?[name] ?? data["changes"]?[name]?.second
      return value?.stringValue.flatMap { StreamID($0) }
    }
    let (own, data) = (event.stream, event.data.json ?? .null)
    switch noun {
    case .reaction where what == "queued" || byHand:
      add(named("event_id", in: data), .agentEvent, own)
    case .mission where what == "created" || byHand:
      add(named("proposal_id", in: data), .proposal, own)
    case .step where what == "created" || byHand:
      add(named("mission_id", in: data), .mission, own)
    case .run where what == "started" || byHand: add(named("step_id", in: data), .step, own)
    case .agentEvent where what == "reported" || byHand:
      add(named("mission_id", in: data), .mission, own)
      let type = data["type"] ?? data["columns"]?["type"]
      if type?.stringValue?.hasPrefix("proposal:") == true, what != "amended" {
        let said = event.content?.json?["data"]?["proposal_id"]?.stringValue
        add(said.flatMap { StreamID($0) }, .proposal, own)
      }
    case .step where what == "succeeded" && !radar.isEmpty:
      let id = event.content?.json?["result"]?["id"]?.stringValue.flatMap { StreamID($0) }
      if let id, radar.contains(id) { add(own, .step, id) }
    default: break
    }
    if noun == .reaction, what != "queued" {
      let payload = data["columns"]?["payload"] ?? data["changes"]?["payload"]?.second
      let id = data["proposal_id"] ?? payload?["result"]?["r_proposal_id"]
      add(own, .reaction, id?.stringValue.flatMap { StreamID($0) })
    }
    return edges
  }
}

extension JSON {
  fileprivate var second: JSON? {
    guard let elements = arrayValue, elements.count == 2 else { return nil }
    return elements[1]
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var json: JSON? { try? JSON(parsing: String(decoding: self, as: UTF8.self)) }
}

extension Session {
  fileprivate func erasedEntries() throws(OpsError) -> [StreamID: Int64] {
    let rows = try query(Statement("SELECT x.stream, x.entry FROM ledger.erasures AS x"))
    return try onRow { () throws(PostgresError) in
      var entries: [StreamID: Int64] = [:]
      for row in 0..<rows.count {
        entries[StreamID(try rows.uuid(row, 0))] = try rows.int8(row, 1)
      }
      return entries
    }
  }
}
