public import Crypto
import LZ4
public import Ledger

public struct SnapshotIndex: Equatable, Sendable {
  /// The frames of one table, or of the removed rows.
  public struct Run: Equatable, Sendable {
    /// The table, with its schema unless that is `public`; ``gone`` for the removed rows.
    public let name: String
    /// In the order of the lines' columns.
    public let columns: [String]
    public let lines: UInt64
    /// The numbers of its frames.
    public let frames: Range<Int>
    /// Its position in the file, with its header.
    public let bytes: Range<UInt64>
  }

  public let name: SnapshotName
  /// The ledger's identity.
  public let identity: StreamID
  /// The number of events up to the entry, and the root of the tree over them.
  public let size: UInt64
  public let root: Digest
  /// The leaf of the last event up to the entry; all zeros if there is none.
  public let lastLeaf: Digest
  public let runs: [Run]
  public let frames: [FrameRecord]
  let map: [StreamMap.Bucket]

  /// The name of the last run: removed and archived rows, each with its row type and last version.
  public static let gone = "gone"
  static let goneColumns = ["stream", "row_type", "version"]

  /// The number of rows of all tables.
  public var rowCount: UInt64 {
    runs.reduce(0) { $0 + ($1.name == Self.gone ? 0 : $1.lines) }
  }

  public func run(_ name: String) -> Run? { runs.first { $0.name == name } }

  /// The header of a run: a frame that LZ4 decoders skip, so that a run can be found without the index. For example
  /// `opsledger-run ops_missions (id, …)`.
  static func header(_ name: String, _ columns: [String]) -> [UInt8] {
    let text = Array("opsledger-run \(name) (\(columns.joined(separator: ", ")))\n".utf8)
    return SkippableFrame.header(
      kind: headerKind, bodyBytes: UInt32(truncatingIfNeeded: text.count)) + text
  }

  /// The last digit of the header's magic number 0x184D2A5B.
  static let headerKind: UInt8 = 11

  var framed: FramedIndex {
    var wire = WireWriter()
    wire.put(size)
    wire.put(root)
    wire.put(lastLeaf)
    wire.put(UInt32(truncatingIfNeeded: runs.count))
    for run in runs {
      wire.put(text: run.name)
      wire.put(UInt16(truncatingIfNeeded: run.columns.count))
      for column in run.columns { wire.put(text: column) }
      wire.put(run.lines)
    }
    return FramedIndex(
      kind: .snapshot, identity: identity, entries: name.entry...name.entry,
      generation: name.generation, frames: frames, map: map, particulars: wire.bytes)
  }
}

extension SnapshotIndex {
  /// - Throws: If it is not the index of a snapshot of this name, or contradicts itself.
  init(_ index: FramedIndex, of name: SnapshotName, upTo end: UInt64) throws(Damage) {
    guard index.kind == .snapshot else { throw Damage("it is not a snapshot") }
    guard index.entries == name.entry...name.entry, index.generation == name.generation else {
      let own = SnapshotName(index.entries.upperBound, generation: index.generation)
      throw Damage("its index says that it is \(own)")
    }
    var wire = WireReader(index.particulars[...])
    var named: [(name: String, columns: [String], lines: UInt64)] = []
    do throws(WireReader.CutShort) {
      size = try wire.int()
      root = try wire.digest()
      lastLeaf = try wire.digest()
      for _ in 0..<(try wire.int(UInt32.self)) {
        let name = try wire.text()
        var columns: [String] = []
        for _ in 0..<(try wire.int(UInt16.self)) { columns.append(try wire.text()) }
        named.append((name, columns, try wire.int()))
      }
    } catch { throw .indexIncomplete }
    guard wire.left == 0 else { throw .indexTooLong }
    self.name = name
    identity = index.identity
    frames = index.frames
    map = index.map
    runs = try Self.runs(named, frames, upTo: end)
  }

  /// Finds the frames of each run. A run begins with its header, and follows the run before it at once.
  private static func runs(
    _ named: [(name: String, columns: [String], lines: UInt64)], _ frames: [FrameRecord],
    upTo end: UInt64
  ) throws(Damage) -> [Run] {
    var runs: [Run] = []
    var (offset, next) = (UInt64(0), 0)
    for (number, run) in named.enumerated() {
      let (start, first) = (offset, next)
      offset += UInt64(header(run.name, run.columns).count)
      var lines: UInt64 = 0
      while next < frames.count, frames[next].run == UInt32(number) {
        guard frames[next].offset == offset else { throw .impossible(frame: next) }
        offset += UInt64(frames[next].bytes)
        lines += UInt64(frames[next].lines)
        next += 1
      }
      guard lines == run.lines else { throw .miscounted }
      runs.append(
        Run(
          name: run.name, columns: run.columns, lines: lines, frames: first..<next,
          bytes: start..<offset))
    }
    guard next == frames.count, offset == end else { throw .framesEndElsewhere }
    return runs
  }
}

extension WireWriter {
  fileprivate mutating func put(text: String) {
    put(UInt16(truncatingIfNeeded: text.utf8.count))
    put(Array(text.utf8))
  }
}

extension WireReader {
  fileprivate mutating func text() throws(CutShort) -> String {
    String(decoding: try take(Int(try int(UInt16.self))), as: UTF8.self)
  }
}
