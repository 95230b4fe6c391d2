import Crypto
import LZ4
public import Ledger

/// Reads a snapshot. To open it reads the index alone; then the frames that are asked for. Owned by one thread at a
/// time.
public final class SnapshotReader {
  public let index: SnapshotIndex
  private let file: FramedFile

  /// Reads and checks the index.
  ///
  /// - Throws: `OPS_015` where it is damaged, whose facts name the file.
  public init(_ store: any ObjectStore, _ file: StoredFile) throws(OpsError) {
    guard let name = SnapshotName(path: file.name) else {
      throw FramedFile.error(
        file, store, Damage("it is not called as a snapshot is"), entries: nil)
    }
    self.file = try FramedFile(store, file)
    do throws(Damage) {
      index = try SnapshotIndex(self.file.index, of: name, upTo: self.file.mapOffset)
    } catch { throw FramedFile.error(file, store, error, entries: nil) }
  }

  /// Opens it again without reading the index.
  init(_ opened: FramedFile.Opened, _ index: SnapshotIndex) {
    file = FramedFile(opened)
    self.index = index
  }

  var opened: FramedFile.Opened { file.opened }

  /// How much of the file was read so far.
  public var bytesRead: UInt64 { file.bytesRead }

  /// Hands over the lines of a run, each with its newline and good until the next. What a frame holds was checked
  /// by its SHA-256 before.
  ///
  /// - Parameter streams: Only frames that may have lines of these are read; nil: all.
  public func lines(
    of run: SnapshotIndex.Run, among streams: Set<StreamID>? = nil,
    _ body: (UnsafeRawBufferPointer) throws(OpsError) -> Void
  ) throws(OpsError) {
    var named: Set<Int>?
    if let streams { named = try file.frames(of: streams.map(StreamMap.hash)) }
    for number in run.frames where named?.contains(number) ?? true {
      try SegmentFrameMaker.eachLine(of: try file.text(number), body)
    }
  }

  /// Reads the whole file and checks every hash, and that frames have the lines that the index counts.
  public func verify() throws(OpsError) {
    let (decoder, hasher) = (FrameDecoder(), SHA256())
    try file.eachFrame { (number, bytes) throws(OpsError) in
      let text = try file.decode(bytes, number, decoder, hasher)
      var lines: UInt32 = 0
      SegmentFrameMaker.eachLine(of: text) { _ in lines += 1 }
      guard lines == index.frames[number].lines, text.last == 10 else {
        throw damage("it does not hold what the index says", frame: number)
      }
    }
  }

  func damage(_ what: String, frame: Int? = nil) -> OpsError {
    FramedFile.error(file.file, file.store, Damage(what, frame: frame), entries: nil)
  }
}
