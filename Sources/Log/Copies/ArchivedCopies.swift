import JSON
import Ledger

/// The rows that hold copies, by the archived part of the log.
struct ArchivedCopies {
  private(set) var rowTypes: [StreamID: RowType] = [:]
  /// Rows of which it has content that is not erased.
  private(set) var due: Set<StreamID> = []
  private(set) var commands: Set<StreamID> = []
  /// The missions of these rows.
  private(set) var missions: Set<StreamID> = []
  private var entry: Int64 = 0
  /// Rows that this entry changed.
  private var changed: Set<StreamID> = []
  /// Missions that failed in this entry, with the steps that failed them.
  private var failed: [StreamID: StreamID] = [:]

  /// The links that copy content, by event type.
  private static let links = Dictionary(
    uniqueKeysWithValues: StreamLink.all.map { type, links in
      (type, links.filter { $0.copy != .none })
    })
  private static let missionFailed = Mission.eventType(.failed)

  mutating func take(
    _ event: EventLine, _ roots: inout Set<StreamID>, _ others: inout Set<StreamID>,
    _ erased: [StreamID: Int64]
  ) {
    let type = String(decoding: event.type, as: UTF8.self)
    guard let links = Self.links[type], let rowType = RowType(ofType: type) else { return }
    if event.entry != entry { (entry, changed, failed) = (event.entry, [], [:]) }
    changed.insert(event.stream)
    if type == Self.missionFailed { failed[event.stream] = event.data.json?["step_id"]?.idValue }
    for edge in edges(event, rowType, links) {
      if edge.isOrigin, roots.contains(edge.child) { roots.insert(edge.parent) }
      if others.contains(edge.parent) || roots.contains(edge.parent) { others.insert(edge.child) }
      if edge.rowType == .mission, others.contains(edge.child) || roots.contains(edge.child) {
        missions.insert(edge.parent)
      }
    }
    guard others.contains(event.stream) || roots.contains(event.stream) else { return }
    rowTypes[event.stream] = rowType
    if let command = event.command { commands.insert(command) }
    if event.salt != nil, !type.hasSuffix(CommonKind.erased.typeSuffix),
      event.entry > erased[event.stream] ?? 0
    {
      due.insert(event.stream)
    }
  }

  /// A row, the child, with a copy of another row's content.
  private struct Edge {
    let parent: StreamID
    /// The parent's row type.
    let rowType: RowType
    let child: StreamID
    let isOrigin: Bool
  }

  private func edges(_ event: EventLine, _ rowType: RowType, _ links: [StreamLink]) -> [Edge] {
    guard !links.isEmpty else { return [] }
    let data = event.data.json ?? .null
    let isContentNamed = links.contains { $0.part == .content }
    let content = isContentNamed ? event.content?.json ?? .null : .null
    let about = (data["type"] ?? data["columns"]?["type"])?.stringValue ?? ""
    return links.filter { about.hasPrefix($0.ofType) }.flatMap { link in
      link.named(in: link.part == .data ? data : content).compactMap { named -> Edge? in
        guard let row = row(named, link.meaning) else { return nil }
        switch link.copy {
        case .fromNamed:
          return Edge(
            parent: row, rowType: link.rowType, child: event.stream, isOrigin: link.isOrigin)
        case .intoNamed:
          return Edge(parent: event.stream, rowType: rowType, child: row, isOrigin: link.isOrigin)
        case .none: return nil
        }
      }
    }
  }

  private func row(_ named: StreamID, _ meaning: StreamLink.Meaning) -> StreamID? {
    switch meaning {
    case .row: named
    case .changed: changed.contains(named) ? named : nil
    case .failedStep: failed[named]
    }
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var json: JSON? { try? JSON(parsing: String(decoding: self, as: UTF8.self)) }
}

extension EventLine {
  /// Whether the event shows that an agent event has this source, or had it before a manual change.
  func hasSource(_ source: String) -> Bool {
    guard RowType(ofType: String(decoding: type, as: UTF8.self)) == .agentEvent,
      let said = content?.json?["data"]
    else { return false }
    return ([said] + (said.arrayValue ?? [])).contains { $0["source"]?.stringValue == source }
  }
}
