import Ledger

extension Store {
  /// Merges the small segments of each log partition that is stored to its end: one after another, so that what was cut
  /// short is gone on with.
  ///
  /// A segment goes only after the one that replaces it was written and verified.
  ///
  /// - Returns: The segments that were made.
  func mergePartitions(_ list: SegmentList) throws(OpsError) -> [SegmentName] {
    var made: [SegmentName] = []
    for group in list.mergeable {
      var readers: [SegmentReader] = []
      for segment in group { readers.append(try reader(of: segment)) }
      made.append(try SegmentWriter.merge(readers, into: files).index.name)
      for segment in group { try files.remove(segment.name.path) }
    }
    return made
  }
}

extension SegmentList {
  /// The segments up to the last one that ends a log partition.
  var wholePartitions: [Segment] {
    let last = segments.lastIndex { $0.name.endsPartition }
    return last.map { Array(segments[...$0]) } ?? []
  }

  /// Segments of one log partition, where it has several and is stored to its end. One of whole partitions without an
  /// entry stays by itself.
  var mergeable: [[Segment]] {
    var groups: [[Segment]] = []
    var group: [Segment] = []
    for segment in segments {
      group.append(segment)
      guard segment.name.endsPartition else { continue }
      if group.count > 1 { groups.append(group) }
      group = []
    }
    return groups
  }
}

extension SegmentName {
  /// Whether it ends where a partition of the log does.
  fileprivate var endsPartition: Bool {
    EntryNumber.partition(of: entries.upperBound).upperBound == entries.upperBound
  }
}
