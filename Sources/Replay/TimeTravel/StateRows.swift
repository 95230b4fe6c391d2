public import Ledger
public import Log
import Postgres

/// Rows of one row type as of a moment: their ledger columns in COPY's text format.
public struct RowLines: Sendable {
  /// Pieces of whole lines with their newlines.
  public fileprivate(set) var pieces: [Piece] = []
  /// Streams whose row was removed or archived, with their last versions.
  public fileprivate(set) var gone: [(stream: StreamID, version: Int32)] = []

  public struct Piece: Sendable {
    public var text: [UInt8] = []
    /// The stream of each line.
    public var streams: [StreamID] = []

    public init() {}
  }
}

/// All rows as of a moment, one row type after the other, in slices: memory never holds all rows. Row types with few rows
/// are folded together, since each reading of the log costs as much as a fold.
public final class StateRows {
  private let entry: Int64
  private let target: Session.Target
  private let session: Session
  private let moment: SharedSnapshot
  private let progress: ReplayProgress
  /// Streams by row type.
  private let counts: [RowType: Int]
  /// Row types that are folded together, by the first of them.
  private let groups: [RowType: [RowType]]
  /// The lines of a group's row types that the caller has not asked for yet.
  private var kept: [RowType: [RowLines]] = [:]
  /// Rows of a slice. Memory holds them twice, as rows and as lines.
  private static let rowsMax = 100_000
  /// Rows of a group. Memory holds the rows of its later row types as lines.
  private static let groupRowsMax = 200_000

  /// - Parameter order: The row types whose rows the caller will ask for, in this order. Others are never grouped.
  /// - Throws: `OPS_001` if the database cannot be reached.
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
    // The database cannot count archived streams by row type.
    counts =
      try moment.reader().archivedLast == 0
      ? try Self.streams(upTo: entry, on: session)
      : Dictionary(uniqueKeysWithValues: RowType.allCases.map { ($0, rows) })
    groups = Self.groups(order, counts)
    progress.expect(events)
  }

  /// Groups neighbours of the order, as far as memory allows.
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

  /// Ends the transaction that reads the log.
  public func end() { moment.end() }

  /// The table of a row type, and its columns in the order of the lines.
  public static func columns(of rowType: RowType) -> (table: String, columns: [String]) {
    let text = TableText.of(rowType)
    return (text.table, text.columns.map(\.name))
  }

  /// The stream of a line's row.
  package static func stream(
    of line: UnsafeRawBufferPointer, _ rowType: RowType
  ) throws(OpsError) -> StreamID {
    do throws(RowLineError) {
      return try Self.stream(of: line, rowType.type)
    } catch {
      throw OpsError(
        store: .damaged,
        "a line of a snapshot is not a row of type \(rowType.rawValue): \(error.reason)",
        hint: "see `opsledger archive verify`")
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
    let rows = try session.query(
      Statement(
        """
        SELECT split_part(e.type, '.', 1), count(*) FROM ledger.events AS e
        WHERE e.version = 1 AND e.entry <= $1::bigint GROUP BY 1
        """), Parameters(entry))
    return try onDatabase { () throws(PostgresError) in
      var counts: [RowType: Int] = [:]
      for row in 0..<rows.count {
        guard let rowType = RowType(rawValue: try rows.text(row, 0)) else { continue }
        counts[rowType] = Int(try rows.int8(row, 1))
      }
      return counts
    }
  }

  /// Passes the rows of a row type, in no particular order.
  ///
  /// - Parameters:
  ///   - streams: The streams whose rows to pass; nil for all.
  ///   - pieceBytes: The greatest size of a piece's text, unless one line is longer.
  /// - Throws: `OPS_016` if the log is broken before the moment.
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
    // Few rows are not worth a second reader.
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
  /// The rows of a row type as lines.
  func lines(of rowType: RowType, pieceBytes: Int) throws(OpsError) -> RowLines {
    var writing = Writing(fold: self, pieceBytes: pieceBytes)
    try writing.visit(rowType)
    return writing.lines
  }

  private struct Writing: RowVisitor {
    let fold: Fold
    let pieceBytes: Int
    var lines = RowLines()

    mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
      let writer = RowLineWriter<R>()
      var piece = RowLines.Piece()
      fold[keyPath: table].slots.withEach { slot in
        guard let row: UnsafePointer<R> = slot.row() else {
          let (stream, version) = (slot.pointee.stream, slot.pointee.version)
          if version > 0 { lines.gone.append((stream, version)) }
          return
        }
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

extension UnsafePointer {
  /// The address of the slot's row.
  func row<R: Row>() -> UnsafePointer<R>? where Pointee == FoldTable<R>.Slot {
    // An optional has its value at its start, and the slot has its row at its start.
    pointee.row == nil ? nil : UnsafeRawPointer(self).assumingMemoryBound(to: R.self)
  }
}
