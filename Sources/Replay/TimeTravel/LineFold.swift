public import Crypto
public import Ledger
public import Log

/// Folds lines of the log, wherever they lie, and says what rows they leave.
///
/// What is compared are sums over rows, which do not depend on their order and can be added slice by slice. Owned by
/// one thread at a time.
public final class LineFold {
  private var fold = Fold()
  private let (remainder, count): (UInt64, UInt64)
  private let hasher = SHA256()

  /// The name of the sum over streams whose row is gone.
  public static let gone = "gone"

  private let slice: Slice

  /// - Parameters:
  ///   - remainder: Which slice of all streams it folds.
  ///   - count: How many slices there are.
  ///   - noun: Only streams of this one; nil: of all.
  public init(slice remainder: Int, of count: Int, _ rowType: RowType? = nil) {
    (self.remainder, self.count) = (UInt64(remainder), UInt64(max(1, count)))
    let all = Slice.hash(remainder: 0, of: 1)
    slice = rowType.map { .rowTypes([$0], all) } ?? all
  }

  /// Takes the next line of the log; one of another slice makes no difference.
  public func take(_ line: EventLine) {
    // Ids of version 7 begin with their time: both halves, mixed.
    let mixed = (line.stream.high ^ line.stream.low) &* 0x9E37_79B9_7F4A_7C15 >> 32
    if mixed % count == remainder, slice.holds(type: line.type) { fold.take(line) }
  }

  /// The rows of a noun as of here.
  ///
  /// - Throws: `OPS_016` where the lines are no sound history.
  public func rows(of rowType: RowType, pieceBytes: Int) throws(OpsError) -> RowLines {
    fold.finish()
    try fold.requireSound()
    return try fold.lines(of: rowType, pieceBytes: pieceBytes)
  }

  /// The sums over the rows as of here, by table.
  ///
  /// - Throws: `OPS_016` where the lines are no sound history.
  public func sums() throws(OpsError) -> [String: RowSum] {
    fold.finish()
    try fold.requireSound()
    var summing = Summing(fold: fold, hasher: hasher)
    try summing.visitParentsFirst()
    return summing.sums
  }

  private struct Summing: RowVisitor {
    let fold: Fold
    let hasher: SHA256
    private(set) var sums: [String: RowSum] = [:]

    init(fold: Fold, hasher: SHA256) {
      self.fold = fold
      self.hasher = hasher
    }

    mutating func visit<R: Row>(
      _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
    ) throws(OpsError) {
      let writer = RowLineWriter<R>()
      var (rows, gone) = (RowSum(), RowSum())
      var line: [UInt8] = []
      func add(to sum: inout RowSum) {
        line.withUnsafeBytes { sum.add($0, hasher) }
        line.removeAll(keepingCapacity: true)
      }
      fold[keyPath: table].slots.withEach { slot in
        if let row: UnsafePointer<R> = slot.row() {
          writer.write(row, to: &line)
          add(to: &rows)
        } else if slot.pointee.version > 0 {
          line += "\(slot.pointee.stream)\t\(R.name.rawValue)\t\(slot.pointee.version)\n".utf8
          add(to: &gone)
        }
      }
      sums[R.table] = rows
      sums[LineFold.gone, default: RowSum()].add(gone)
    }
  }
}

/// How many lines there are, and the sum of their SHA-256, word by word: the same for the same lines in any order.
public struct RowSum: Equatable, Sendable {
  public private(set) var lines = 0
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  public init() {}

  public static func == (a: RowSum, b: RowSum) -> Bool {
    a.lines == b.lines && a.words == b.words
  }

  public mutating func add(_ line: UnsafeRawBufferPointer, _ hasher: SHA256) {
    add(count: 1, hasher.hash(line).words)
  }

  public mutating func add(_ other: RowSum) { add(count: other.lines, other.words) }

  private mutating func add(count: Int, _ more: (UInt64, UInt64, UInt64, UInt64)) {
    lines += count
    words.0 &+= more.0
    words.1 &+= more.1
    words.2 &+= more.2
    words.3 &+= more.3
  }
}
