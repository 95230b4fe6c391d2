import Crypto
public import Ledger

extension SegmentWriter {
  /// Merges adjacent segments into one with frames of full size. Checks every hash that it reads, keeps the roots, and
  /// verifies the new file. Removes nothing.
  ///
  /// - Parameter segments: In the order of their entries.
  /// - Returns: The index; and false if the store has a file of that name already, which stays and is not checked.
  public static func merge(
    _ segments: [SegmentReader], into store: any ObjectStore
  ) throws(OpsError) -> (index: SegmentIndex, isNew: Bool) {
    guard let first = segments.first?.index, let last = segments.last?.index else {
      throw OpsError(.badInput, "there are no segments to merge")
    }
    for (left, right) in zip(segments, segments.dropFirst()) {
      try expectAdjacent(left.index, right.index)
    }
    let name = SegmentName(first.name.entries.lowerBound...last.name.entries.upperBound)
    let writer = try SegmentWriter(store, name, identity: first.identity, before: first.before)
    for segment in segments { try writer.write(all: segment) }
    let (index, isNew) = try writer.finish()
    guard isNew else { return (index, false) }
    try SegmentReader(store, store.written(name.path)).verify()
    return (index, true)
  }

  private static func expectAdjacent(
    _ left: SegmentIndex, _ right: SegmentIndex
  ) throws(OpsError) {
    func refuse(_ kind: StoreFault.Kind, _ what: String) -> OpsError {
      OpsError(
        store: kind, "\(left.name) and \(right.name) cannot be merged: \(what)",
        hint: "run `opsledger archive verify`")
    }
    guard left.identity == right.identity else {
      throw refuse(.anotherLedger, "they belong to different ledgers")
    }
    guard left.name.entries.upperBound < .max,
      left.name.entries.upperBound + 1 == right.name.entries.lowerBound
    else { throw refuse(.diverged, "the second does not begin where the first ends") }
    guard left.after == right.before else {
      throw refuse(.diverged, "the second does not continue the tree of the first")
    }
  }
}
