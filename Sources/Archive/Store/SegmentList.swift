import Ledger

/// The segments of a store. Together they cover each entry once.
public struct SegmentList: Sendable {
  public struct Segment: Equatable, Sendable {
    public let name: SegmentName
    public let file: StoredFile
  }

  /// Entries that no segment has.
  struct Hole: Sendable {
    let entries: ClosedRange<Int64>
    let error: OpsError
  }

  /// In the order of their entries.
  public private(set) var segments: [Segment] = []
  /// Segments whose entries a larger segment or a later generation has: an interrupted merge or erasure left them.
  public private(set) var superseded: [SegmentName] = []
  /// Files in the folder that are not segments.
  public private(set) var unknownFiles: [String] = []
  /// Empty in a list of ``Store/segments()``.
  private(set) var holes: [Hole] = []

  /// The last stored entry; 0 if the store is empty.
  public private(set) var lastEntry: Int64 = 0

  init(_ files: [StoredFile], place: String) {
    var found: [Segment] = []
    for file in files {
      if let name = SegmentName(path: file.name) {
        found.append(Segment(name: name, file: file))
      } else {
        unknownFiles.append(file.name)
      }
    }
    found.sort { $0.name.comes(before: $1.name) }
    for segment in found { take(segment, place) }
  }

  private mutating func take(_ segment: Segment, _ place: String) {
    let entries = segment.name.entries
    guard entries.upperBound > lastEntry else { return superseded.append(segment.name) }
    if entries.lowerBound > lastEntry + 1 {
      let missing = (lastEntry + 1)...(entries.lowerBound - 1)
      add(
        missing,
        "entries \(missing.lowerBound) to \(missing.upperBound) are in no segment of \(place), "
          + "which has the later \(segment.name.path)",
        hint: "put the missing file back from another copy of the store; or remove "
          + "\(segment.name.path) if it does not belong there")
    }
    if entries.lowerBound <= lastEntry {
      add(
        (lastEntry + 1)...entries.upperBound,
        "\(segment.name.path) of \(place) overlaps the segment before it",
        hint: "see `opsledger archive verify`")
    } else {
      segments.append(segment)
    }
    lastEntry = entries.upperBound
  }

  private mutating func add(_ entries: ClosedRange<Int64>, _ what: String, hint: String) {
    let error = OpsError(store: .damaged, what, hint: hint, losing: entries)
    holes.append(Hole(entries: entries, error: error))
  }

  /// The segment that covers an entry.
  func segment(with entry: Int64) -> Segment? {
    segments.first { $0.name.entries.contains(entry) }
  }
}

extension OpsError {
  /// The same error with the entries that the damage makes unavailable, unless it names some.
  func losing(_ entries: ClosedRange<Int64>) -> OpsError {
    guard code == .storeDiverged, var fault = store, fault.entries == nil else { return self }
    fault.entries = entries
    return OpsError(fault, message, hint: hint, facts: facts)
  }
}

extension SegmentName {
  /// Of segments with the same first entry, the one that replaces the others comes first.
  fileprivate func comes(before other: SegmentName) -> Bool {
    let (a, b) = (entries, other.entries)
    if a.lowerBound != b.lowerBound { return a.lowerBound < b.lowerBound }
    if a.upperBound != b.upperBound { return a.upperBound > b.upperBound }
    return generation > other.generation
  }
}
