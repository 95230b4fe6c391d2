public import Crypto
import LZ4
public import Ledger

/// What a snapshot says of itself, without a look into its frames.
public struct SnapshotIndex: Equatable, Sendable {
  /// The rows of one table, or the streams whose row is gone: frames that follow each other.
  public struct Run: Equatable, Sendable {
    /// The table, with its schema where that is not `public`; ``gone`` for the last one.
    public let name: String
    /// In the order of the lines' columns.
    public let columns: [String]
    public let lines: UInt64
    /// Its frames' numbers.
    public let frames: Range<Int>
    /// Where it lies in the file, with the frame that names it.
    public let bytes: Range<UInt64>
  }

  public let name: SnapshotName
  /// Of the ledger whose rows it has.
  public let identity: StreamID
  /// How many events the log has up to the entry.
  public let size: UInt64
  /// Of the tree up to the entry.
  public let root: Digest
  /// The leaf of the last event up to the entry; all zeros where there is none.
  public let lastLeaf: Digest
  public let runs: [Run]
  public let frames: [FrameRecord]
  let map: [StreamMap.Bucket]

  /// The name of the last run: streams whose row is gone, each with its noun and its last version.
  public static let gone = "gone"
  static let goneColumns = ["stream", "row_type", "version"]

  /// Rows of all tables.
  public var rowCount: UInt64 {
    runs.reduce(0) { $0 + ($1.name == Self.gone ? 0 : $1.lines) }
  }

  public func run(_ name: String) -> Run? { runs.first { $0.name == name } }

  // MARK: Bytes

  /// A frame that decoders pass over, in front of each run, so that it is found without the index:
  /// `opsledger-run ops_missions (id, …)`.
  static func header(_ name: String, _ columns: [String]) -> [UInt8] {
    let text = Array("opsledger-run \(name) (\(columns.joined(separator: ", ")))\n".utf8)
    return SkippableFrame.header(
      kind: headerKind, bodyBytes: UInt32(truncatingIfNeeded: text.count)) + text
  }

  /// The last digit of the header's magic number 0x184D2A5B.
  static let headerKind: UInt8 = 11

  init(
    name: SnapshotName, identity: StreamID, size: UInt64, root: Digest, lastLeaf: Digest,
    runs: [Run], frames: [FrameRecord], map: [StreamMap.Bucket]
  ) {
    self.name = name
    self.identity = identity
    self.size = size
    self.root = root
    self.lastLeaf = lastLeaf
    self.runs = runs
    self.frames = frames
    self.map = map
  }

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

  /// - Throws: Where it is not the index of a snapshot of this name, or says what cannot be.
  init(_ index: FramedIndex, of name: SnapshotName, upTo end: UInt64) throws(Damage) {
    guard index.kind == .snapshot else { throw Damage("it is not a snapshot") }
    guard index.entries == name.entry...name.entry, index.generation == name.generation else {
      let own = SnapshotName(index.entries.upperBound, generation: index.generation)
      throw Damage("it is \(own) under another name")
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
    } catch { throw Damage("its index is cut short") }
    guard wire.left == 0 else { throw Damage("its index has bytes too many") }
    self.name = name
    identity = index.identity
    frames = index.frames
    map = index.map
    runs = try Self.runs(named, frames, upTo: end)
  }

  /// Which frames are of which run; each run begins with its header, and nothing lies between.
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
        guard frames[next].offset == offset else {
          throw Damage("its index has a frame that cannot be there", frame: next)
        }
        offset += UInt64(frames[next].bytes)
        lines += UInt64(frames[next].lines)
        next += 1
      }
      guard lines == run.lines else { throw Damage("its index counts what it does not hold") }
      runs.append(
        Run(
          name: run.name, columns: run.columns, lines: lines, frames: first..<next,
          bytes: start..<offset))
    }
    guard next == frames.count, offset == end else {
      throw Damage("its frames do not end where its map of streams begins")
    }
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
