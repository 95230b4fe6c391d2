public import JSON

/// A proposal's checked template: the work of its mission.
public struct Template: Equatable, Sendable {
  public struct PlannedStep: Equatable, Sendable {
    public var kind: String
    public var executor: String
    public var params: JSON
    public var maxRetries: Int32?
    public var needs: [Int32]
  }

  public static let stepsMax = 100
  /// The types of the loop's agent events contain the kind.
  static let kindBytesMax = 200
  public static let textBytesMax = 1_048_576

  public var title: String?
  /// The default is medium.
  public var risk: Risk
  public var steps: [PlannedStep]

  /// Checks a template.
  ///
  /// - Parameter executors: The names of all executors.
  /// - Throws: `OPS_004` with the path of a wrong field, `OPS_005` for an unknown executor.
  public init(_ value: JSON, executors: Set<String>) throws(OpsError) {
    guard let members = value.objectValue else { throw Self.wrong("template", "an object") }
    let fields = FieldReader(members, error: Self.wrong)
    title = try fields.string("title")
    _ = try fields.string("description")
    risk = try Self.risk(members["risk_level"])
    guard let list = members["steps"]?.arrayValue, !list.isEmpty else {
      throw Self.wrong("steps", "a list of at least one step")
    }
    guard list.count <= Self.stepsMax else {
      throw Self.wrong("steps", "a list of at most \(Self.stepsMax) steps")
    }
    let parallel = try fields.bool("parallel") ?? false
    steps = []
    for (index, step) in list.enumerated() {
      steps.append(
        try Self.step(step, index: index, count: list.count, parallel: parallel, executors))
    }
    if let cyclic = Self.firstInCycle(steps.map(\.needs)) {
      throw Self.wrong("steps[\(cyclic)].needs", "free of cycles")
    }
  }

  private static func risk(_ value: JSON?) throws(OpsError) -> Risk {
    guard let value, value != .null else { return .medium }
    guard let risk = value.stringValue.flatMap(Risk.init) else {
      throw wrong("risk_level", "low, medium or high")
    }
    return risk
  }

  private static func step(
    _ value: JSON, index: Int, count: Int, parallel: Bool, _ executors: Set<String>
  ) throws(OpsError) -> PlannedStep {
    let path = "steps[\(index)]"
    guard let members = value.objectValue else { throw wrong(path, "an object") }
    guard let kind = members["kind"]?.stringValue, (1...kindBytesMax).contains(kind.utf8.count)
    else { throw wrong("\(path).kind", "text of 1 to \(kindBytesMax) bytes") }
    let fields = FieldReader(members) { wrong("\(path).\($0)", $1) }
    let executor = try fields.string("executor") ?? kind
    guard executors.contains(executor) else {
      throw OpsError(
        .executorNotFound, "\(path): there is no executor \(executor)",
        hint: "known: " + executors.sorted().joined(separator: ", "),
        facts: ["executor": executor])
    }
    let params = members["params"] ?? .object([:])
    guard params.objectValue != nil else { throw wrong("\(path).params", "an object") }
    return PlannedStep(
      kind: kind, executor: executor, params: params,
      maxRetries: try fields.whole("max_retries", in: 0...1000).map { Int32($0) },
      needs: try needs(
        members["needs"], at: "\(path).needs", index: index, count: count, parallel: parallel))
  }

  /// By default, each step needs the one before it.
  private static func needs(
    _ value: JSON?, at path: String, index: Int, count: Int, parallel: Bool
  ) throws(OpsError) -> [Int32] {
    guard let value, value != .null else {
      return parallel || index == 0 ? [] : [Int32(index - 1)]
    }
    guard let list = value.arrayValue else { throw wrong(path, "a list of positions") }
    var needs: [Int32] = []
    for item in list {
      guard let position = item.intValue, (0..<count).contains(position), position != index else {
        throw wrong(path, "a list of positions of other steps, counted from 0")
      }
      needs.append(Int32(position))
    }
    return needs
  }

  /// The first step that waits for itself, directly or indirectly.
  private static func firstInCycle(_ needs: [[Int32]]) -> Int? {
    var done = Set<Int32>()
    var progress = true
    while progress {
      progress = false
      for (index, list) in needs.enumerated()
      where !done.contains(Int32(index)) && list.allSatisfy(done.contains) {
        done.insert(Int32(index))
        progress = true
      }
    }
    return needs.indices.first { !done.contains(Int32($0)) }
  }

  private static func wrong(_ path: String, _ expected: String) -> OpsError {
    OpsError(
      .templateInvalid, "the template's \(path) is not \(expected)",
      hint: "a template has steps, each with a kind: `opsledger help proposal submit` shows one",
      facts: ["path": path])
  }
}
