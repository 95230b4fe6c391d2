public import Crypto
public import Ledger
public import Log

/// Folds lines of the log, from any place.
///
/// States are compared by sums over rows. A sum does not depend on the order of the rows, and sums of slices can be added.
/// Only one thread at a time may use an instance.
public final class LineFold {
  private var fold = Fold()
  private let (remainder, count): (UInt64, UInt64)
  private let hasher = SHA256()

  /// The name of the sum over streams whose row was removed or archived.
  public static let gone = "gone"

  private let slice: Slice

  /// - Parameters:
  ///   - remainder: The slice of all streams to fold, from 0.
  ///   - count: The number of slices.
  ///   - rowType: The row type to fold; nil for all.
  public init(slice remainder: Int, of count: Int, _ rowType: RowType? = nil) {
    (self.remainder, self.count) = (UInt64(remainder), UInt64(max(1, count)))
    slice = rowType.map { .rowTypes([$0], .all) } ?? .all
  }

  /// Takes the next line of the log. Ignores lines of other slices.
  public func take(_ line: EventLine) {
    // Ids of version 7 begin with their time, so both halves are mixed.
    let mixed = (line.stream.high ^ line.stream.low) &* 0x9E37_79B9_7F4A_7C15 >> 32
    if mixed % count == remainder, slice.holds(type: line.type) { fold.take(line) }
  }

  /// The rows of a row type after the lines so far.
  ///
  /// - Throws: `OPS_016` if the lines are not a whole history.
  public func rows(of rowType: RowType, pieceBytes: Int) throws(OpsError) -> RowLines {
    fold.finish()
    try fold.requireSound()
    return try fold.lines(of: rowType, pieceBytes: pieceBytes)
  }

  /// The sums over the rows after the lines so far, by table.
  ///
  /// - Throws: `OPS_016` if the lines are not a whole history.
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
    var sums: [String: RowSum] = [:]

    mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
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

/// The number of lines and the word-wise sum of their SHA-256. The same lines in any order have the same sum.
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
