import Ledger
import Postgres

/// What became of the streams that have events after a snapshot, up to a moment: all other rows are the snapshot's.
struct FoldOn {
  let streams: Set<StreamID>
  let fold: Fold

  /// - Returns: Nil where the snapshot is so far away that the streams between would not fit into memory; they are
  ///   folded in slices from the log's beginning then.
  init?(
    _ snapshot: any StateSnapshot, upTo entry: Int64, of nouns: Set<NounName>,
    on log: LogReader, _ progress: ReplayProgress
  ) throws(OpsError) {
    let slice = Slice.hash(remainder: 0, of: 1).only(nouns)
    var fold = Fold()
    var streams: Set<StreamID> = []
    if snapshot.entry < entry {
      let entries = (snapshot.entry + 1)...entry
      streams = try slice.streams(in: entries, limit: Slice.rowsMax + 1, on: log)
      guard streams.count <= Slice.rowsMax else { return nil }
      try fold.seed(from: snapshot, streams, of: nouns)
      try slice.read(into: &fold, on: log, entries: entries, progress)
    }
    fold.finish()
    try fold.requireSound()
    (self.streams, self.fold) = (streams, fold)
  }
}

extension Slice {
  /// The streams of the slice that have events among these entries.
  func streams(
    in entries: ClosedRange<Int64>, limit: Int = .max, on log: LogReader
  ) throws(OpsError) -> Set<StreamID> {
    var streams: Set<StreamID> = []
    try log.cold(entries, coldStreams(log)) { (event) throws(OpsError) in
      if holds(type: event.type), streams.count < limit { streams.insert(event.stream) }
    }
    return try onDatabase { () throws(PostgresError) in
      let reader = try log.connection.copyReader(
        "COPY (SELECT DISTINCT stream FROM ledger.events WHERE \(condition(entries)) LIMIT \(limit))"
          + " TO STDOUT (FORMAT binary)")
      while let row = try reader.next() { streams.insert(StreamID(try row[0].uuid())) }
      return streams
    }
  }
}
