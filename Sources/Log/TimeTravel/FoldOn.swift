import Ledger
import Postgres

/// Takes the rows of a snapshot that no later event concerns, noun by noun, as lines.
protocol KeptRows: AnyObject {
  func begin<N: Noun>(_ noun: N.Type) throws(OpsError)
  func take(_ line: UnsafeRawBufferPointer) throws(OpsError)
  func end() throws(OpsError)
}

/// A state from a snapshot: one pass over its lines, of which those of streams with later events are read as rows and
/// folded on, and the others kept as they are.
struct FoldOn {
  private let snapshot: any StateSnapshot
  private let slice: Slice
  private let nouns: Set<NounName>
  private let log: LogReader
  /// Entries after the snapshot; nil where the moment is the snapshot's.
  private let entries: ClosedRange<Int64>?
  /// With events among them.
  private let streams: Set<StreamID>

  /// - Returns: Nil where the snapshot is so far away that the streams between would not fit into memory; they are
  ///   folded in slices from the log's beginning then.
  init?(
    _ snapshot: any StateSnapshot, upTo entry: Int64, of nouns: Set<NounName>, on log: LogReader
  ) throws(OpsError) {
    self.snapshot = snapshot
    self.nouns = nouns
    self.log = log
    let slice = Slice.hash(remainder: 0, of: 1).only(nouns)
    let entries = snapshot.entry < entry ? (snapshot.entry + 1)...entry : nil
    var streams: Set<StreamID> = []
    if let entries {
      streams = try slice.streams(in: entries, limit: Slice.rowsMax + 1, on: log)
    }
    (self.slice, self.entries, self.streams) = (slice, entries, streams)
    guard streams.count <= Slice.rowsMax else { return nil }
  }

  /// - Returns: The fold of the streams whose rows were not kept.
  func run(
    keeping kept: some KeptRows, _ progress: ReplayProgress
  ) throws(OpsError) -> Fold {
    var pass = Pass(fold: Fold(), snapshot: snapshot, streams: streams, nouns: nouns, kept: kept)
    try pass.visitParentsFirst()
    var fold = pass.fold
    try fold.seedGone(from: snapshot, streams, of: nouns)
    if let entries { try slice.read(into: &fold, on: log, entries: entries, progress) }
    fold.finish()
    try fold.requireSound()
    return fold
  }

  private struct Pass<Kept: KeptRows>: NounVisitor {
    var fold: Fold
    let snapshot: any StateSnapshot
    let streams: Set<StreamID>
    let nouns: Set<NounName>
    let kept: Kept

    mutating func visit<N: Noun>(
      _ noun: N.Type, _ table: WritableKeyPath<Fold, FoldTable<N>>
    ) throws(OpsError) {
      guard nouns.contains(N.name) else { return }
      try kept.begin(N.self)
      let kept = kept
      try fold.seed(N.self, table, from: snapshot, streams, among: nil) {
        (line) throws(OpsError) in try kept.take(line)
      }
      try kept.end()
    }
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
