public import Ledger
public import Log

/// All rows as of an entry, in the store. A state can start from it instead of the log's beginning.
public protocol StateSnapshot: Sendable {
  /// The rows are the fold of all events up to this entry.
  var entry: Int64 { get }

  /// Passes rows of one row type as lines of ``RowLines``, with their newlines. Every line is verified. A line is valid
  /// until the next call of `body`.
  ///
  /// - Parameter streams: Pieces without these streams are skipped. The other pieces also have lines of other streams.
  ///   Nil for all rows.
  func lines(
    of rowType: RowType, among streams: Set<StreamID>?,
    _ body: (UnsafeRawBufferPointer) throws(OpsError) -> Void
  ) throws(OpsError)

  /// Passes the streams whose row was removed or archived, with their last versions.
  func gone(_ body: (StreamID, RowType, Int32) throws(OpsError) -> Void) throws(OpsError)

  /// The error for a line that cannot be read.
  func damage(_ what: String) -> OpsError
}

/// The available snapshots.
public protocol StateSnapshots: Sendable {
  /// The newest snapshot up to an entry that can be opened, if any.
  ///
  /// - Parameter session: For the question whether a snapshot belongs to this history. It may be in a transaction.
  func newest(upTo entry: Int64, on session: Session) throws(OpsError) -> (any StateSnapshot)?

  /// Whether the error is about a snapshot. ``newest(upTo:on:)`` does not return that snapshot again.
  func giveUp(_ error: OpsError) -> Bool
}

extension Optional where Wrapped == any StateSnapshots {
  /// Runs `body`, and runs it again after an error of a damaged snapshot: with an older snapshot, at last with none.
  func fallingBack<Answer>(
    _ body: () throws(OpsError) -> Answer
  ) throws(OpsError) -> Answer {
    while true {
      do throws(OpsError) { return try body() } catch {
        guard let self, self.giveUp(error) else { throw error }
      }
    }
  }
}

/// Takes the rows of a snapshot that no later event changed, as lines, one row type after the other.
protocol KeptRows: AnyObject {
  func begin<R: Row>(_ rowType: R.Type) throws(OpsError)
  func take(_ line: UnsafeRawBufferPointer) throws(OpsError)
  func end() throws(OpsError)
}

extension Fold {
  /// Begins these streams with their rows from a snapshot. Their later events can follow.
  ///
  /// - Parameter kept: Gets the rows of all other streams.
  mutating func seed(
    from snapshot: any StateSnapshot, _ streams: Set<StreamID>, of rowTypes: Set<RowType>,
    keeping kept: (any KeptRows)? = nil
  ) throws(OpsError) {
    if streams.isEmpty, kept == nil { return }
    var gone: [RowType: [(stream: StreamID, version: Int32)]] = [:]
    if !streams.isEmpty {
      try snapshot.gone { (stream, rowType, version) throws(OpsError) in
        if streams.contains(stream) { gone[rowType, default: []].append((stream, version)) }
      }
    }
    var seeding = Seeding(fold: self, snapshot: snapshot, streams: streams, gone: gone, kept: kept)
    for rowType in RowType.allCases where rowTypes.contains(rowType) { try seeding.visit(rowType) }
    self = seeding.fold
  }

  private struct Seeding: RowVisitor {
    var fold: Fold
    let snapshot: any StateSnapshot
    let streams: Set<StreamID>
    let gone: [RowType: [(stream: StreamID, version: Int32)]]
    let kept: (any KeptRows)?

    mutating func visit<R: Row>(
      _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
    ) throws(OpsError) {
      try kept?.begin(R.self)
      let reader = RowLineReader<R>()
      // The table is moved out: an access through the key path costs as much as reading a line.
      var seeded = FoldTable<R>()
      swap(&seeded, &fold[keyPath: table])
      defer { swap(&seeded, &fold[keyPath: table]) }
      try snapshot.lines(of: R.name, among: kept == nil ? streams : nil) {
        (line) throws(OpsError) in
        if !streams.isEmpty {
          do throws(RowLineError) {
            let stream = try RowLineReader<R>.stream(of: line)
            if streams.contains(stream) {
              let row = try reader.read(line)
              return seeded.seed(stream, row, version: row.version, upTo: snapshot.entry)
            }
          } catch { throw snapshot.damage("a row of \(R.table): \(error.reason)") }
        }
        try kept?.take(line)
      }
      for (stream, version) in gone[R.name] ?? [] {
        seeded.seed(stream, nil, version: version, upTo: snapshot.entry)
      }
      try kept?.end()
    }
  }
}
