import Ledger
import Log

/// Which frames of a segment may hold what is wanted, by their entries and times.
struct FrameChoice {
  private let wanted: ArchivedQuery
  /// Of the streams that are wanted, for the map.
  let hashes: [UInt64]?
  private let only: [Int64]?

  init(_ wanted: ArchivedQuery) {
    self.wanted = wanted
    hashes =
      if case .these(let streams) = wanted.streams { streams.map(StreamMap.hash) } else { nil }
    only = wanted.only?.sorted()
  }

  /// A few lines are wanted, not most of them.
  var isSparse: Bool { hashes != nil || only != nil }

  func mayHold(_ frame: FrameRecord) -> Bool {
    guard frame.entries.overlaps(wanted.entries) else { return false }
    if let upTo = wanted.upTo, frame.times.lowerBound > upTo { return false }
    return only?.contains { frame.entries.contains($0) } ?? true
  }
}

extension ArchivedQuery.Streams {
  /// Whether a line may be one of theirs: its stream is found without reading the rest, since most lines are
  /// another slice's. A line that is none is left to the reader, which says so.
  func mayHold(_ line: UnsafeRawBufferPointer) -> Bool {
    if case .all = self { return true }
    guard let stream = line.streamOfLine else { return true }
    return contains(stream)
  }
}

extension UnsafeRawBufferPointer {
  /// The third column of a line of the log.
  fileprivate var streamOfLine: StreamID? {
    guard let first = firstIndex(of: 9), let second = self[(first + 1)...].firstIndex(of: 9),
      second + 37 <= count
    else { return nil }
    return StreamID(utf8: UnsafeRawBufferPointer(rebasing: self[(second + 1)..<(second + 37)]))
  }
}
