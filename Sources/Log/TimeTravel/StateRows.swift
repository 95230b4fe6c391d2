public import Ledger
import Postgres

/// Rows of one noun as of a moment, as `COPY … TO` in text format gives their ledger columns.
public struct RowLines: Sendable {
  /// Whole lines with their newlines, in pieces.
  public fileprivate(set) var pieces: [Piece] = []
  /// Streams whose row is gone, with their last versions.
  public fileprivate(set) var gone: [(stream: StreamID, version: Int32)] = []

  public struct Piece: Sendable {
    public var text: [UInt8] = []
    /// Of each line.
    public var streams: [StreamID] = []

    public init() {}
  }
}

/// All rows as of a moment, noun by noun, each in slices: memory never holds them. Nouns of few rows are folded together
/// with those that are asked for next, since each reading of the log costs as much as a fold.
public final class StateRows {
  private let entry: Int64
  private let target: Session.Target
  private let session: Session
  private let moment: SharedSnapshot
  private let progress: ReplayProgress
  /// Streams by noun.
  private let counts: [NounName: Int]
  /// Nouns that are folded together, by the first of them.
  private let groups: [NounName: [NounName]]
  /// Of a group, the lines of the nouns that were not asked for yet.
  private var kept: [NounName: [RowLines]] = [:]
  /// Rows of a slice: they are in memory twice, as rows and as lines.
  private static let rowsMax = 100_000
  /// Rows of a group: those of its later nouns are in memory as lines.
  private static let groupRowsMax = 200_000

  /// - Parameter order: The nouns of which all rows will be asked for, in this order; those of others are asked for
  ///   alone.
  /// - Throws: `OPS_001` where the database is out of reach.
  public init(
    _ target: Session.Target, at entry: Int64, order: [NounName] = [],
    _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) {
    self.entry = entry
    self.target = target
    self.progress = progress
    session = try Session(target)
    moment = try SharedSnapshot(session)
    let (rows, events) = try session.estimate()
    // Of what has left the database there is no count by noun.
    counts =
      try moment.reader().coldLast == 0
      ? try Self.streams(upTo: entry, on: session)
      : Dictionary(uniqueKeysWithValues: NounName.allCases.map { ($0, rows) })
    groups = Self.groups(order, counts)
    progress.expect(events)
  }

  /// Neighbours of the order, as many together as memory has room for.
  private static func groups(
    _ order: [NounName], _ counts: [NounName: Int]
  ) -> [NounName: [NounName]] {
    var all: [[NounName]] = []
    var rows = 0
    for noun in order {
      let count = counts[noun] ?? 0
      if !all.isEmpty, rows + count <= groupRowsMax {
        all[all.count - 1].append(noun)
        rows += count
      } else {
        all.append([noun])
        rows = count
      }
    }
    return Dictionary(uniqueKeysWithValues: all.map { ($0[0], $0) })
  }

  /// Lets go of the moment of the log that it reads.
  public func end() { moment.end() }

  /// The table of a noun, and its columns in the order of the lines.
  public static func columns(of noun: NounName) -> (table: String, columns: [String]) {
    let text = TableText.of(noun)
    return (text.table, text.columns.map(\.name))
  }

  /// The stream of a line's row, which its first column tells.
  package static func stream(
    of line: UnsafeRawBufferPointer, _ noun: NounName
  ) throws(OpsError) -> StreamID {
    do throws(RowLineError) {
      return try Self.stream(of: line, noun.rowType)
    } catch {
      throw OpsError(store: .damaged, "a line is none of \(noun.rawValue)'s: \(error.reason)")
    }
  }

  private static func stream<N: Noun>(
    of line: UnsafeRawBufferPointer, _ noun: N.Type
  ) throws(RowLineError) -> StreamID {
    try RowLineReader<N>.stream(of: line)
  }

  private static func streams(
    upTo entry: Int64, on session: Session
  ) throws(OpsError) -> [NounName: Int] {
    var parameters = Parameters()
    parameters.int8(entry)
    let rows = try session.query(
      Statement(
        """
        SELECT split_part(e.type, '.', 1), count(*) FROM ledger.events AS e
        WHERE e.version = 1 AND e.entry <= $1::bigint GROUP BY 1
        """), parameters)
    return try onDatabase { () throws(PostgresError) in
      var counts: [NounName: Int] = [:]
      for row in 0..<rows.count {
        guard let noun = NounName(rawValue: try rows.text(row, 0)) else { continue }
        counts[noun] = Int(try rows.int8(row, 1))
      }
      return counts
    }
  }

  /// Hands over the rows of a noun, in no particular order.
  ///
  /// - Parameters:
  ///   - streams: Only the rows of these, where they are not all.
  ///   - pieceBytes: What a piece's text may have; more only where one line does.
  /// - Throws: `OPS_016` where the log itself is broken before the moment.
  public func each(
    of noun: NounName, among streams: [StreamID]? = nil, pieceBytes: Int,
    _ body: (RowLines) throws(OpsError) -> Void
  ) throws(OpsError) {
    if streams == nil, let lines = kept.removeValue(forKey: noun) {
      for lines in lines { try body(lines) }
      return
    }
    let group = streams == nil ? groups[noun] ?? [noun] : [noun]
    let count = group.reduce(0) { $0 + (counts[$1] ?? 0) }
    // What is small is not worth a second reader.
    let slices = max(count > 20_000 ? 2 : 1, (count + Self.rowsMax - 1) / Self.rowsMax)
    let all: [Slice] =
      if let streams { [.streams(streams)] } else {
        try moment.reader().slices(slices, upTo: entry)
      }
    let stream = FoldStream(
      all.map { .nouns(group, $0) },
      entries: 0...max(0, entry), target, snapshot: moment.id, workers: session.readers, progress,
      make: { (fold, _) throws(OpsError) in
        try fold.requireSound()
        var lines: [RowLines] = []
        for noun in group { lines.append(try fold.lines(of: noun, pieceBytes: pieceBytes)) }
        return lines
      })
    defer { stream.stop() }
    for other in group.dropFirst() { kept[other] = [] }
    while let made = try stream.next() {
      for (noun, lines) in zip(group, made).dropFirst() { kept[noun]?.append(lines) }
      try body(made[0])
    }
  }
}

extension Fold {
  /// Its rows of a noun as lines.
  func lines(of noun: NounName, pieceBytes: Int) throws(OpsError) -> RowLines {
    var writing = Writing(fold: self, noun: noun, pieceBytes: pieceBytes)
    try writing.visitParentsFirst()
    return writing.lines
  }

  private struct Writing: NounVisitor {
    let fold: Fold
    let noun: NounName
    let pieceBytes: Int
    private(set) var lines = RowLines()

    init(fold: Fold, noun: NounName, pieceBytes: Int) {
      self.fold = fold
      self.noun = noun
      self.pieceBytes = pieceBytes
    }

    mutating func visit<N: Noun>(
      _ noun: N.Type, _ table: WritableKeyPath<Fold, FoldTable<N>>
    ) throws(OpsError) {
      guard N.name == self.noun else { return }
      let writer = RowLineWriter<N>()
      var piece = RowLines.Piece()
      fold[keyPath: table].slots.withEach { slot in
        guard let row: UnsafePointer<N> = slot.row() else { return lines.noteGone(slot.pointee) }
        let start = piece.text.count
        writer.write(row, to: &piece.text)
        if start > 0, piece.text.count > pieceBytes {
          var next = RowLines.Piece()
          next.text = Array(piece.text[start...])
          piece.text.removeSubrange(start...)
          lines.pieces.append(piece)
          piece = next
        }
        piece.streams.append(slot.pointee.stream)
      }
      if !piece.streams.isEmpty { lines.pieces.append(piece) }
    }
  }
}

extension RowLines {
  fileprivate mutating func noteGone<N: Noun>(_ slot: FoldTable<N>.Slot) {
    if slot.version > 0 { gone.append((slot.stream, slot.version)) }
  }
}

extension UnsafePointer {
  /// The slot's row, where it lies.
  func row<N: Noun>() -> UnsafePointer<N>? where Pointee == FoldTable<N>.Slot {
    // What an optional holds lies at its start, and the row at that of its slot.
    pointee.row == nil ? nil : UnsafeRawPointer(self).assumingMemoryBound(to: N.self)
  }
}
