public import Ledger
public import Log

/// All rows as of an entry, kept outside of the log: what a state is made from without reading the log from its
/// beginning.
public protocol StateSnapshot: Sendable {
  /// What is in it is the fold of all events up to here.
  var entry: Int64 { get }

  /// Hands over rows of one noun as lines of ``RowLines``, each with its newline and good until the next; every
  /// line was checked before.
  ///
  /// - Parameter streams: Only pieces that may have one of these are read; others' lines may be among them. Nil:
  ///   all rows.
  func lines(
    of rowType: RowType, among streams: Set<StreamID>?,
    _ body: (UnsafeRawBufferPointer) throws(OpsError) -> Void
  ) throws(OpsError)

  /// Hands over the streams whose row is gone, with their last versions.
  func gone(_ body: (StreamID, RowType, Int32) throws(OpsError) -> Void) throws(OpsError)

  /// What a line that cannot be read means.
  func damage(_ what: String) -> OpsError
}

/// Snapshots that are at hand.
public protocol StateSnapshots: Sendable {
  /// The newest one up to an entry that can be opened, if any.
  ///
  /// - Parameter session: Asked whether a snapshot is of its history; it may be in a transaction.
  func newest(upTo entry: Int64, on session: Session) throws(OpsError) -> (any StateSnapshot)?

  /// Asked where reading ended with an error: whether it is about a snapshot, which is then not given again.
  func giveUp(_ error: OpsError) -> Bool
}

extension Optional where Wrapped == any StateSnapshots {
  /// Does something with what these give; where that is damaged, again with an older one, and at last without.
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

extension Fold {
  /// Takes the rows of some streams from a snapshot: what comes next are their events after it.
  mutating func seed(
    from snapshot: any StateSnapshot, _ streams: Set<StreamID>, of rowTypes: Set<RowType>
  ) throws(OpsError) {
    guard !streams.isEmpty else { return }
    var seeding = Seeding(fold: self, snapshot: snapshot, streams: streams, rowTypes: rowTypes)
    try seeding.visitParentsFirst()
    self = seeding.fold
    try seedGone(from: snapshot, streams, of: rowTypes)
  }

  private struct Seeding: RowVisitor {
    var fold: Fold
    let snapshot: any StateSnapshot
    let streams: Set<StreamID>
    let rowTypes: Set<RowType>

    mutating func visit<R: Row>(
      _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
    ) throws(OpsError) {
      guard rowTypes.contains(R.name) else { return }
      try fold.seed(R.self, table, from: snapshot, streams, among: streams) {
        (_) throws(OpsError) in
      }
    }
  }

  /// The same of one noun.
  ///
  /// - Parameters:
  ///   - among: Pieces without one of these may be left out.
  ///   - others: Gets the lines of other streams.
  mutating func seed<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>,
    from snapshot: any StateSnapshot,
    _ streams: Set<StreamID>, among pieces: Set<StreamID>?,
    others: (UnsafeRawBufferPointer) throws(OpsError) -> Void
  ) throws(OpsError) {
    let reader = RowLineReader<R>()
    // Taken out while it is used: reaching it through the key path costs as much as a line.
    var seeded = FoldTable<R>()
    swap(&seeded, &self[keyPath: table])
    defer { swap(&seeded, &self[keyPath: table]) }
    try snapshot.lines(of: R.name, among: pieces) { (line) throws(OpsError) in
      if streams.isEmpty { return try others(line) }
      var isOther = false
      do throws(RowLineError) {
        let stream = try RowLineReader<R>.stream(of: line)
        if streams.contains(stream) {
          let row = try reader.read(line)
          seeded.seed(stream, row, version: row.version, upTo: snapshot.entry)
        } else {
          isOther = true
        }
      } catch { throw snapshot.damage("a row of \(R.table): \(error.reason)") }
      if isOther { try others(line) }
    }
  }

  /// Takes streams whose row is gone.
  mutating func seedGone(
    from snapshot: any StateSnapshot, _ streams: Set<StreamID>, of rowTypes: Set<RowType>
  ) throws(OpsError) {
    guard !streams.isEmpty else { return }
    var fold = self
    try snapshot.gone { (stream, rowType, version) throws(OpsError) in
      if streams.contains(stream), rowTypes.contains(rowType) {
        fold.seed(gone: stream, rowType, version, upTo: snapshot.entry)
      }
    }
    self = fold
  }

  private mutating func seed(
    gone stream: StreamID, _ rowType: RowType, _ version: Int32, upTo entry: Int64
  ) {
    switch rowType {
    case .agentEvent: agentEvents.seed(stream, nil, version: version, upTo: entry)
    case .reaction: reactions.seed(stream, nil, version: version, upTo: entry)
    case .proposal: proposals.seed(stream, nil, version: version, upTo: entry)
    case .mission: missions.seed(stream, nil, version: version, upTo: entry)
    case .step: steps.seed(stream, nil, version: version, upTo: entry)
    case .run: runs.seed(stream, nil, version: version, upTo: entry)
    case .policy: policies.seed(stream, nil, version: version, upTo: entry)
    case .radar: radar.seed(stream, nil, version: version, upTo: entry)
    case .hold: holds.seed(stream, nil, version: version, upTo: entry)
    case .ledger: ledger.seed(stream, nil, version: version, upTo: entry)
    }
  }
}
