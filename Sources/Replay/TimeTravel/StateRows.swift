public import Ledger
public import Log
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

/// All rows as of a moment, noun by noun, each in slices: memory never holds them. RowTypes of few rows are folded together
/// with those that are asked for next, since each reading of the log costs as much as a fold.
public final class StateRows {
  private let entry: Int64
  private let target: Session.Target
  private let session: Session
  private let moment: SharedSnapshot
  private let progress: ReplayProgress
  /// Streams by noun.
  private let counts: [RowType: Int]
  /// RowTypes that are folded together, by the first of them.
  private let groups: [RowType: [RowType]]
  /// Of a group, the lines of the nouns that were not asked for yet.
  private var kept: [RowType: [RowLines]] = [:]
  /// Rows of a slice: they are in memory twice, as rows and as lines.
  private static let rowsMax = 100_000
  /// Rows of a group: those of its later nouns are in memory as lines.
  private static let groupRowsMax = 200_000

  /// - Parameter order: The nouns of which all rows will be asked for, in this order; those of others are asked for
  ///   alone.
  /// - Throws: `OPS_001` where the database is out of reach.
  public init(
    _ target: Session.Target, at entry: Int64, order: [RowType] = [],
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
      try moment.reader().archivedLast == 0
      ? try Self.streams(upTo: entry, on: session)
      : Dictionary(uniqueKeysWithValues: RowType.allCases.map { ($0, rows) })
    groups = Self.groups(order, counts)
    progress.expect(events)
  }

  /// Neighbours of the order, as many together as memory has room for.
  private static func groups(
    _ order: [RowType], _ counts: [RowType: Int]
  ) -> [RowType: [RowType]] {
    var all: [[RowType]] = []
    var rows = 0
    for rowType in order {
      let count = counts[rowType] ?? 0
      if !all.isEmpty, rows + count <= groupRowsMax {
        all[all.count - 1].append(rowType)
        rows += count
      } else {
        all.append([rowType])
        rows = count
      }
    }
    return Dictionary(uniqueKeysWithValues: all.map { ($0[0], $0) })
  }

  /// Lets go of the moment of the log that it reads.
  public func end() { moment.end() }

  /// The table of a noun, and its columns in the order of the lines.
  public static func columns(of rowType: RowType) -> (table: String, columns: [String]) {
    let text = TableText.of(rowType)
    return (text.table, text.columns.map(\.name))
  }

  /// The stream of a line's row, which its first column tells.
  package static func stream(
    of line: UnsafeRawBufferPointer, _ rowType: RowType
  ) throws(OpsError) -> StreamID {
    do throws(RowLineError) {
      return try Self.stream(of: line, rowType.type)
    } catch {
      throw OpsError(store: .damaged, "a line is none of \(rowType.rawValue)'s: \(error.reason)")
    }
  }

  private static func stream<R: Row>(
    of line: UnsafeRawBufferPointer, _ rowType: R.Type
  ) throws(RowLineError) -> StreamID {
    try RowLineReader<R>.stream(of: line)
  }

  private static func streams(
    upTo entry: Int64, on session: Session
  ) throws(OpsError) -> [RowType: Int] {
    var parameters = Parameters()
    parameters.int8(entry)
    let rows = try session.query(
      Statement(
        """
        SELECT split_part(e.type, '.', 1), count(*) FROM ledger.events AS e
        WHERE e.version = 1 AND e.entry <= $1::bigint GROUP BY 1
        """), parameters)
    return try onDatabase { () throws(PostgresError) in
      var counts: [RowType: Int] = [:]
      for row in 0..<rows.count {
        guard let rowType = RowType(rawValue: try rows.text(row, 0)) else { continue }
        counts[rowType] = Int(try rows.int8(row, 1))
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
    of rowType: RowType, among streams: [StreamID]? = nil, pieceBytes: Int,
    _ body: (RowLines) throws(OpsError) -> Void
  ) throws(OpsError) {
    if streams == nil, let lines = kept.removeValue(forKey: rowType) {
      for lines in lines { try body(lines) }
      return
    }
    let group = streams == nil ? groups[rowType] ?? [rowType] : [rowType]
    let count = group.reduce(0) { $0 + (counts[$1] ?? 0) }
    // What is small is not worth a second reader.
    let slices = max(count > 20_000 ? 2 : 1, (count + Self.rowsMax - 1) / Self.rowsMax)
    let all: [Slice] =
      if let streams { [.streams(streams)] } else {
        try moment.reader().slices(slices, upTo: entry)
      }
    let stream = FoldStream(
      all.map { .rowTypes(group, $0) },
      entries: 0...max(0, entry), target, snapshot: moment.id, workers: session.readers, progress,
      make: { (fold, _) throws(OpsError) in
        try fold.requireSound()
        var lines: [RowLines] = []
        for rowType in group { lines.append(try fold.lines(of: rowType, pieceBytes: pieceBytes)) }
        return lines
      })
    defer { stream.stop() }
    for other in group.dropFirst() { kept[other] = [] }
    while let made = try stream.next() {
      for (rowType, lines) in zip(group, made).dropFirst() { kept[rowType]?.append(lines) }
      try body(made[0])
    }
  }
}

extension Fold {
  /// Its rows of a noun as lines.
  func lines(of rowType: RowType, pieceBytes: Int) throws(OpsError) -> RowLines {
    var writing = Writing(fold: self, rowType: rowType, pieceBytes: pieceBytes)
    try writing.visitParentsFirst()
    return writing.lines
  }

  private struct Writing: RowVisitor {
    let fold: Fold
    let rowType: RowType
    let pieceBytes: Int
    private(set) var lines = RowLines()

    init(fold: Fold, rowType: RowType, pieceBytes: Int) {
      self.fold = fold
      self.rowType = rowType
      self.pieceBytes = pieceBytes
    }

    mutating func visit<R: Row>(
      _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
    ) throws(OpsError) {
      guard R.name == self.rowType else { return }
      let writer = RowLineWriter<R>()
      var piece = RowLines.Piece()
      fold[keyPath: table].slots.withEach { slot in
        guard let row: UnsafePointer<R> = slot.row() else { return lines.noteGone(slot.pointee) }
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
  fileprivate mutating func noteGone<R: Row>(_ slot: FoldTable<R>.Slot) {
    if slot.version > 0 { gone.append((slot.stream, slot.version)) }
  }
}

extension UnsafePointer {
  /// The slot's row, where it lies.
  func row<R: Row>() -> UnsafePointer<R>? where Pointee == FoldTable<R>.Slot {
    // What an optional holds lies at its start, and the row at that of its slot.
    pointee.row == nil ? nil : UnsafeRawPointer(self).assumingMemoryBound(to: R.self)
  }
}
