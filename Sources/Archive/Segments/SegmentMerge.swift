import Crypto
public import Ledger

extension SegmentWriter {
  /// Writes adjacent segments into one, with frames of full size. Every hash of what is read is checked, the
  /// roots stay as they were, and what was written is verified by reading it back. Nothing is removed.
  ///
  /// - Parameter segments: In the order of their entries.
  /// - Returns: What the new segment says of itself; and false where a file of that name is there already,
  ///   which stays and was not looked at.
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
    for segment in segments {
      try segment.verify { (frame) throws(OpsError) in
        try frame.text.withUnsafeBytes { text in
          Result { () throws(OpsError) in try writer.write(text) }
        }.get()
      }
    }
    let (index, isNew) = try writer.finish()
    guard isNew else { return (index, false) }
    let written = try store.list(name.path).first { $0.name == name.path }
    guard let written else {
      throw OpsError(store: .damaged, "\(name) was written to \(store.place) and is not there")
    }
    try SegmentReader(store, written).verify()
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
      throw refuse(.anotherLedger, "they are of different ledgers")
    }
    guard left.name.entries.upperBound < .max,
      left.name.entries.upperBound + 1 == right.name.entries.lowerBound
    else { throw refuse(.diverged, "the second does not begin where the first ends") }
    guard left.after == right.before else {
      throw refuse(.diverged, "the second does not go on with the first one's tree")
    }
  }
}
