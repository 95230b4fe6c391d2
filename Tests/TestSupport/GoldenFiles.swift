/// The editions of the golden files under `snapshots/`, which may never change. One comes with each new event type or
/// field of one, and holds events, the rows that they fold to, and a store with them.
public enum GoldenFiles {
  /// One line for each file: its SHA-256 and its path below `snapshots/`, as `sha256sum` writes them.
  public static let hashes: [String: String] = {
    let lines = (try? Repository.read("snapshots/SHA256SUMS"))?.split(separator: "\n") ?? []
    let pairs = lines.map { line in (String(line.dropFirst(66)), String(line.prefix(64))) }
    return Dictionary(uniqueKeysWithValues: pairs)
  }()

  /// Those that have a file in the list: a test of one kind of file covers every edition, or fails.
  public static let editions = Set(
    hashes.keys.compactMap { path in
      path.split(separator: "-v").dropFirst().first.flatMap { Int($0.prefix(while: \.isNumber)) }
    }
  ).sorted()

  /// The edition that `OPS_WRITE_SNAPSHOTS=N` asks the tests to write.
  public static let written = Seeds.environment("OPS_WRITE_SNAPSHOTS").flatMap { Int($0) }

  public static func events(_ edition: Int) -> String { "snapshots/events-v\(edition).jsonl" }
  public static func rows(_ edition: Int) -> String { "snapshots/rows-v\(edition).json" }
  public static func store(_ edition: Int) -> String { "snapshots/store-v\(edition)" }
}
