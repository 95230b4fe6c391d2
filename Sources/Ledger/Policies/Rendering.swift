public import JSON

/// Replaces a pattern's placeholders by values of an agent event.
///
/// It works on parsed values and not on JSON text, so an event's values cannot change the template's structure. A
/// string that is one placeholder becomes the value itself. Inside a longer string, a placeholder can be text, a
/// number, true, false or null, and an object is an error. Keys have no placeholders.
public struct Rendering: Sendable {
  private let event: JSON

  public init(_ event: AgentEvent) {
    self.init(event, data: event.data.asJSON)
  }

  /// - Parameter data: The event's parsed data.
  init(_ event: AgentEvent, data: JSON) {
    self.event = .object([
      "id": .string(event.id.description), "type": .string(event.type),
      "dedupe_key": .optional(event.dedupeKey),
      "mission_id": .optional(event.missionID?.description),
      "created_at": .string(event.createdAt.description), "thought": .optional(event.thought),
      "data": data,
    ])
  }

  /// - Throws: `OPS_004`, which names the path that the event does not have.
  public func render(_ value: JSON) throws(OpsError) -> JSON {
    switch value {
    case .null, .bool, .number: return value
    case .string(let text): return try render(text: text)
    case .array(let elements):
      var rendered: [JSON] = []
      for element in elements { rendered.append(try render(element)) }
      return .array(rendered)
    case .object(let members):
      var rendered: [String: JSON] = [:]
      for (key, member) in members { rendered[key] = try render(member) }
      return .object(rendered)
    }
  }

  /// Renders a dedupe key.
  public func render(text: String) throws(OpsError) -> String {
    let value = try render(text: text) as JSON
    guard value != .null, let rendered = Self.text(value) else {
      throw OpsError(.templateInvalid, "the value of \(text) is not text")
    }
    return rendered
  }

  private func render(text: String) throws(OpsError) -> JSON {
    guard text.utf8.contains(UInt8(ascii: "{")) else { return .string(text) }
    let pieces = Self.pieces(of: text)
    if pieces.count == 1, case .path(let path) = pieces[0] { return try lookUp(path) }
    var out = ""
    for piece in pieces {
      switch piece {
      case .literal(let literal): out += literal
      case .path(let path):
        guard let value = Self.text(try lookUp(path)) else {
          throw OpsError(
            .templateInvalid, "\(path) is an object or an array, which cannot be inside a text",
            facts: ["path": path])
        }
        out += value
      }
    }
    return .string(out)
  }

  /// Nil for an array or an object.
  private static func text(_ value: JSON) -> String? {
    switch value {
    case .string(let text): text
    case .number(let number): number
    case .bool(let truth): truth ? "true" : "false"
    case .null: "null"
    case .array, .object: nil
    }
  }

  private func lookUp(_ path: String) throws(OpsError) -> JSON {
    var segments = path.split(separator: ".", omittingEmptySubsequences: false)[...]
    guard segments.popFirst() == "event" else { throw Self.missing(path) }
    var at = event
    for segment in segments {
      if let elements = at.arrayValue, let index = Int(segment), elements.indices.contains(index) {
        at = elements[index]
      } else if let member = at[String(segment)] {
        at = member
      } else {
        throw Self.missing(path)
      }
    }
    return at
  }

  private static func missing(_ path: String) -> OpsError {
    OpsError(
      .templateInvalid, "the event has no \(path)",
      hint: "a placeholder is {{event.id}}, {{event.type}}, {{event.data.FIELD}}, …",
      facts: ["path": path])
  }

  private enum Piece {
    case literal(String)
    case path(String)
  }

  private static func pieces(of text: String) -> [Piece] {
    var pieces: [Piece] = []
    var rest = text[...]
    // By bytes, since a character may combine with a brace.
    while let open = rest.utf8.firstRange(of: "{{".utf8),
      let close = rest[open.upperBound...].utf8.firstRange(of: "}}".utf8)
    {
      if open.lowerBound > rest.startIndex {
        pieces.append(.literal(String(rest[..<open.lowerBound])))
      }
      let path = rest[open.upperBound..<close.lowerBound]
      pieces.append(.path(String(path.trimmed)))
      rest = rest[close.upperBound...]
    }
    if !rest.isEmpty || pieces.isEmpty { pieces.append(.literal(String(rest))) }
    return pieces
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    let isSpace = { (c: Character) in c == " " || c == "\t" || c == "\n" }
    var trimmed = drop(while: isSpace)
    while trimmed.last.map(isSpace) == true { trimmed.removeLast() }
    return trimmed
  }
}
