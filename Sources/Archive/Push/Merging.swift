import Ledger

extension Store {
  /// Merges the small segments of each log partition that is stored to its end. A small segment is removed after the
  /// merged one was written and verified. If this is interrupted, the next push continues.
  ///
  /// - Returns: The merged segments.
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
  /// The segments up to the last one at the end of a log partition.
  var wholePartitions: [Segment] {
    let last = segments.lastIndex { $0.name.endsPartition }
    return last.map { Array(segments[...$0]) } ?? []
  }

  /// The segments of each log partition that has several and is stored to its end. A segment of whole partitions without
  /// an entry is not merged.
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
  /// Whether the segment ends at the end of a log partition.
  fileprivate var endsPartition: Bool {
    EntryNumber.partition(of: entries.upperBound).upperBound == entries.upperBound
  }
}
