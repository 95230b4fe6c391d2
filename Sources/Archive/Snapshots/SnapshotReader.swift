import Crypto
import LZ4
public import Ledger

/// Reads a snapshot. Opening it reads the index only. Serves one thread at a time.
public final class SnapshotReader {
  public let index: SnapshotIndex
  private let file: FramedFile

  /// Reads and checks the index.
  ///
  /// - Throws: `OPS_015` if it is damaged, with the file in the facts.
  public init(_ store: any ObjectStore, _ file: StoredFile) throws(OpsError) {
    guard let name = SnapshotName(path: file.name) else {
      throw FramedFile.error(
        file, store, Damage("its name is not that of a snapshot"), entries: nil)
    }
    self.file = try FramedFile(store, file)
    do throws(Damage) {
      index = try SnapshotIndex(self.file.index, of: name, upTo: self.file.mapOffset)
    } catch { throw FramedFile.error(file, store, error, entries: nil) }
  }

  /// Opens a snapshot again without reading its index.
  init(_ opened: FramedFile.Opened, _ index: SnapshotIndex) {
    file = FramedFile(opened)
    self.index = index
  }

  var opened: FramedFile.Opened { file.opened }

  /// Hands over the lines of a run, each with its newline and valid until the next. Checks the SHA-256 of each frame.
  ///
  /// - Parameter streams: Reads only frames that may have lines of these streams; nil: all frames.
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

  /// Reads the whole file and checks every hash, and the number of lines in each frame.
  public func verify() throws(OpsError) {
    let (decoder, hasher) = (FrameDecoder(), SHA256())
    try file.eachFrame { (number, bytes) throws(OpsError) in
      let text = try file.decode(bytes, number, decoder, hasher)
      var lines: UInt32 = 0
      SegmentFrameMaker.eachLine(of: text) { _ in lines += 1 }
      guard lines == index.frames[number].lines, text.last == 10 else {
        throw damage("it differs from its description in the index of the file", frame: number)
      }
    }
  }

  func damage(_ what: String, frame: Int? = nil) -> OpsError {
    let opened = file.opened
    return FramedFile.error(
      opened.file, opened.store, Damage(what, frame: frame), entries: nil)
  }
}
