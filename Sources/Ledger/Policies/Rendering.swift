public import JSON

/// Fills a pattern's placeholders from an agent event.
///
/// It works on the parsed template and on values, never on JSON text, so that nothing an event says
/// can become structure. A string that is one placeholder becomes the value itself; inside a longer
/// string text, numbers and truth values are written in, and an object is a mistake. Keys are left
/// alone.
public struct Rendering: Sendable {
  private let event: JSON

  public init(_ event: AgentEvent) {
    self.init(event, data: (try? JSON(parsing: event.data)) ?? .null)
  }

  /// - Parameter data: The event's, parsed.
  init(_ event: AgentEvent, data: JSON) {
    self.event = .object([
      "id": .string(event.id.description), "type": .string(event.type),
      "dedupe_key": .optional(event.dedupeKey),
      "mission_id": .optional(event.missionID?.description),
      "created_at": .string(event.createdAt.description), "thought": .optional(event.thought),
      "data": data,
    ])
  }

  /// - Throws: `OPS_004` that names the path which the event does not have.
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

  /// Renders text to text, for a dedupe key.
  public func render(text: String) throws(OpsError) -> String {
    switch try render(text: text) as JSON {
    case .string(let rendered): return rendered
    case .number(let number): return number
    case .bool(let truth): return truth ? "true" : "false"
    case .null, .array, .object:
      throw OpsError(.templateInvalid, "\(text) does not give a text")
    }
  }

  private func render(text: String) throws(OpsError) -> JSON {
    guard text.utf8.contains(UInt8(ascii: "{")) else { return .string(text) }
    let pieces = Self.pieces(of: text)
    if pieces.count == 1, case .path(let path) = pieces[0] { return try lookUp(path) }
    var out = ""
    for piece in pieces {
      switch piece {
      case .literal(let literal): out += literal
      case .path(let path): out += try written(try lookUp(path), path)
      }
    }
    return .string(out)
  }

  private func written(_ value: JSON, _ path: String) throws(OpsError) -> String {
    switch value {
    case .string(let text): return text
    case .number(let number): return number
    case .bool(let truth): return truth ? "true" : "false"
    case .null: return "null"
    case .array, .object:
      throw OpsError(
        .templateInvalid, "\(path) is no single value and cannot stand inside a text",
        facts: ["path": path])
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
      hint: "placeholders name event.id, event.type, event.data.…", facts: ["path": path])
  }

  private enum Piece {
    case literal(String)
    case path(String)
  }

  private static func pieces(of text: String) -> [Piece] {
    var pieces: [Piece] = []
    var rest = text[...]
    while let open = rest.firstRange(ofText: "{{"),
      let close = rest[open.upperBound...].firstRange(ofText: "}}")
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
  /// Two characters in a row; the library's own search needs Foundation or a regular expression.
  fileprivate func firstRange(ofText pair: StaticString) -> Range<Index>? {
    let (first, second) = (pair.utf8Start[0], pair.utf8Start[1])
    var at = utf8.startIndex
    while at < utf8.endIndex {
      let next = utf8.index(after: at)
      if utf8[at] == first, next < utf8.endIndex, utf8[next] == second {
        return at..<utf8.index(after: next)
      }
      at = next
    }
    return nil
  }

  fileprivate var trimmed: Substring {
    let isSpace = { (c: Character) in c == " " || c == "\t" || c == "\n" }
    return drop(while: isSpace).reversedDrop(while: isSpace)
  }

  private func reversedDrop(while predicate: (Character) -> Bool) -> Substring {
    var end = endIndex
    while end > startIndex, predicate(self[index(before: end)]) { end = index(before: end) }
    return self[..<end]
  }
}
