import Ledger
import Log

/// Chooses the frames of a segment that may hold wanted events, by the entries and times of each frame.
struct FrameChoice {
  private let wanted: ArchivedQuery
  /// The hashes of the wanted streams; nil where the query names no streams.
  let hashes: [UInt64]?

  init(_ wanted: ArchivedQuery) {
    self.wanted = wanted
    hashes =
      if case .these(let streams) = wanted.streams { streams.map(StreamMap.hash) } else { nil }
  }

  /// Whether the query wants a few lines, not most of them.
  var isSparse: Bool { hashes != nil || wanted.only != nil }

  func mayHold(_ frame: FrameRecord) -> Bool {
    guard frame.entries.overlaps(wanted.entries) else { return false }
    if let upTo = wanted.upTo, frame.times.lowerBound > upTo { return false }
    return wanted.only?.contains(where: frame.entries.contains) ?? true
  }
}

extension ArchivedQuery.Streams {
  /// Whether a line may be of these streams. Finds the stream without reading the rest of the line, since most lines
  /// belong to other streams. A malformed line passes: the reader reports it.
  func mayHold(_ line: UnsafeRawBufferPointer) -> Bool {
    if case .all = self { return true }
    // The stream is the third column.
    guard let first = line.firstIndex(of: 9), let tab = line[(first + 1)...].firstIndex(of: 9),
      tab + 37 <= line.count,
      let stream = StreamID(utf8: UnsafeRawBufferPointer(rebasing: line[(tab + 1)..<(tab + 37)]))
    else { return true }
    return contains(stream)
  }
}
