public import JSON

extension Radar {
  public enum Command: Equatable, Sendable {
    case add(Fields)
    case update(Target, Fields)
    case list

    /// An item by its id, or by a title that only one item has.
    public enum Target: Equatable, Sendable {
      case id(StreamID)
      case title(String)
    }

    /// Reads a step's params: `{"action": "add", "params": {"title": …}}`.
    ///
    /// - Throws: `OPS_004`, which names the field.
    public init(params: JSON) throws(OpsError) {
      let fields = params["params"] ?? .object([:])
      switch params["action"]?.stringValue {
      case "add":
        guard let title = fields["title"]?.stringValue, !title.isEmpty else {
          throw .wrongParam("params.title", isNot: "text")
        }
        self = .add(try Self.fields(fields, title: title))
      case "update":
        if let id = fields["id"]?.stringValue {
          guard let id = StreamID(id) else { throw .wrongParam("params.id", isNot: "a UUID") }
          self = .update(.id(id), try Self.fields(fields, title: fields["title"]?.stringValue))
        } else if let title = fields["title"]?.stringValue {
          self = .update(.title(title), try Self.fields(fields, title: nil))
        } else {
          throw .wrongParam("params.id or params.title", isNot: "given")
        }
      case "list": self = .list
      default: throw .wrongParam("action", isNot: "add, update or list")
      }
    }

    private static func fields(_ value: JSON, title: String?) throws(OpsError) -> Fields {
      var stage: Stage?
      if let text = value["stage"], text != .null {
        guard let known = text.stringValue.flatMap(Stage.init) else {
          throw .wrongParam("params.stage", isNot: "watching, validating, building or shipped")
        }
        stage = known
      }
      return Fields(
        stage: stage, title: title, description: value["description"]?.stringValue,
        notes: value["notes"]?.stringValue)
    }
  }

  /// A stage can change to the next one, and from every stage back to watching.
  ///
  /// - Throws: `OPS_012` for another change.
  public static func decideUpdate(_ fields: Fields, given item: Radar) throws(OpsError) -> [Event] {
    if let stage = fields.stage, !item.stage.mayBecome(stage) {
      throw OpsError(
        .conflict,
        "radar item \(item.id) cannot go from \(item.stage.rawValue) to \(stage.rawValue)",
        hint: "the order is watching, validating, building, shipped; watching is always allowed",
        facts: ["radar_id": item.id.description])
    }
    return [.updated(fields)]
  }
}

extension Radar.Stage {
  func mayBecome(_ next: Radar.Stage) -> Bool {
    switch (self, next) {
    case (_, .watching), (.watching, .validating), (.validating, .building),
      (.building, .shipped):
      true
    case (.validating, .validating), (.building, .building), (.shipped, .shipped): true
    case (.watching, .building), (.watching, .shipped), (.validating, .shipped),
      (.building, .validating), (.shipped, .validating), (.shipped, .building):
      false
    }
  }
}
