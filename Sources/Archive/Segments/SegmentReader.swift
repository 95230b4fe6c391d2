public import Crypto
import LZ4
public import Ledger
public import Log

/// Reads a segment. To open it reads the index alone; then the frames that are asked for. Owned by one thread at
/// a time.
///
/// What is damaged throws `OPS_015`, whose facts name file, frame, and the first and last entry that cannot be had.
public final class SegmentReader {
  public let index: SegmentIndex
  private let file: FramedFile
  private let lineReader = EventLineReader()
  /// Frames that were read for a few lines: whoever follows one mission comes back to them.
  private var kept: [Int: [UInt8]] = [:]

  /// Reads and checks the index: the file's end, its geometry, the roots that it names.
  public init(_ store: any ObjectStore, _ file: StoredFile) throws(OpsError) {
    guard let name = SegmentName(path: file.name) else {
      throw FramedFile.error(file, store, Damage("it is not called as a segment is"), entries: nil)
    }
    do throws(OpsError) {
      self.file = try FramedFile(store, file)
      do throws(Damage) {
        index = try SegmentIndex(self.file.index, of: name)
      } catch { throw FramedFile.error(file, store, error, entries: name.entries) }
    } catch {
      throw error.losing(name.entries)
    }
  }

  /// How much of the file was read so far.
  public var bytesRead: UInt64 { file.bytesRead }

  // MARK: Lines

  /// Hands over the lines of these entries in the order of the log, each with its newline and as an event;
  /// both are good until the next.
  public func lines(
    of entries: ClosedRange<Int64>,
    _ body: (UnsafeRawBufferPointer, EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    for (number, frame) in index.frames.enumerated() where frame.entries.overlaps(entries) {
      try lines(ofFrame: number) { (line, event) throws(OpsError) in
        if entries.contains(event.entry) { try body(line, event) }
      }
    }
  }

  /// Hands over the lines that are wanted, in order or from the last one on, for as long as `body` says to go on.
  ///
  /// - Returns: False where it said to stop.
  func lines(
    _ wanted: ArchivedQuery, backwards: Bool = false,
    _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError) -> Bool {
    let choice = FrameChoice(wanted)
    var numbers = index.frames.indices.filter { choice.mayHold(index.frames[$0]) }
    if let hashes = choice.hashes, !numbers.isEmpty {
      let named = try file.frames(of: hashes)
      numbers.removeAll { !named.contains($0) }
    }
    for number in backwards ? numbers.reversed() : numbers {
      let bytes = choice.isSparse ? try keptText(ofFrame: number) : nil
      let goesOn =
        if let bytes {
          try bytes.withUnsafeBytes { text in
            Result { () throws(OpsError) in
              try lines(wanted, in: text, number, backwards: backwards, body)
            }
          }.get()
        } else {
          try lines(wanted, in: file.text(number), number, backwards: backwards, body)
        }
      guard goesOn else { return false }
    }
    return true
  }

  private func keptText(ofFrame number: Int) throws(OpsError) -> [UInt8] {
    if let bytes = kept[number] { return bytes }
    if kept.count >= Self.keptMax { kept.removeAll() }
    let bytes = Array(try file.text(number))
    kept[number] = bytes
    return bytes
  }

  private static let keptMax = 16

  private func lines(
    _ wanted: ArchivedQuery, in text: UnsafeRawBufferPointer, _ number: Int, backwards: Bool,
    _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError) -> Bool {
    var lines: [UnsafeRawBufferPointer] = []
    var goesOn = true
    try SegmentFrameMaker.eachLine(of: text) { (line) throws(OpsError) in
      guard goesOn, wanted.streams.mayHold(line) else { return }
      if backwards { return lines.append(line) }
      goesOn = try take(line, wanted, number, body)
    }
    for line in lines.reversed() where goesOn { goesOn = try take(line, wanted, number, body) }
    return goesOn
  }

  private func take(
    _ line: UnsafeRawBufferPointer, _ wanted: ArchivedQuery, _ number: Int,
    _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError) -> Bool {
    let event: EventLine
    do throws(EventLineError) { event = try lineReader.read(line) } catch {
      throw file.error(Damage("\(error)", frame: number))
    }
    guard wanted.entries.contains(event.entry), wanted.only?.contains(event.entry) ?? true,
      wanted.streams.contains(event.stream), wanted.upTo.map({ event.recordedAt <= $0 }) ?? true
    else { return true }
    return try body(event)
  }

  private func lines(
    ofFrame number: Int, _ body: (UnsafeRawBufferPointer, EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    try SegmentFrameMaker.eachLine(of: try file.text(number)) { (line) throws(OpsError) in
      let event: EventLine
      do throws(EventLineError) { event = try lineReader.read(line) } catch {
        throw file.error(Damage("\(error)", frame: number))
      }
      try body(line, event)
    }
  }

  // MARK: Everything

  /// Reads the whole file and compares its SHA-256, which costs little: whether it can be had at all.
  func checkBytes() throws(OpsError) {
    do throws(OpsError) { try file.eachFrame { (_, _) throws(OpsError) in } } catch {
      // The frame that is damaged says more than the file.
      if error.code == .storeDiverged {
        for number in index.frames.indices { _ = try file.text(number) }
      }
      throw error
    }
  }

  /// A frame all of which was checked.
  public struct CheckedFrame: Sendable {
    public let number: Int
    /// Its lines.
    public let text: [UInt8]
    /// Of its events, in order.
    public let leaves: [Digest]
    let gone: GoneContent
    let unknownType: String?
  }

  /// Reads the whole file and checks every hash: each frame against the index, each event's leaf against the
  /// roots, all bytes against the SHA-256 at the end.
  ///
  /// - Parameter each: Gets the frames in order, each when it was checked. The roots are compared after the
  ///   last: what was done with the frames counts only when this returns.
  public func verify(
    each body: @escaping (CheckedFrame) throws(OpsError) -> Void = { _ in }
  ) throws(OpsError) {
    let check = Check(index)
    let (framed, file) = (file.index, file)
    var work = InOrder<(frame: SegmentFrame, text: [UInt8])> { damage, number in
      var damage = damage
      damage.frame = number
      return file.error(damage)
    } take: { (made) throws(OpsError) in
      let number = check.number
      do throws(Damage) { try check.take(made.frame) } catch { throw file.error(error) }
      try body(
        CheckedFrame(
          number: number, text: made.text, leaves: made.frame.leaves, gone: made.frame.gone,
          unknownType: made.frame.unknownType))
    }
    do throws(OpsError) {
      try file.eachFrame { (number, bytes) throws(OpsError) in
        try work.add { () throws(Damage) in
          // The text lies in its decoder.
          let decoder = FrameDecoder()
          defer { withExtendedLifetime(decoder) {} }
          let text = try framed.decode(bytes, number, decoder, SHA256())
          return (try SegmentFrameMaker().read(text), Array(text))
        }
      }
    } catch {
      // A frame's own damage says more than that of the file.
      try work.finish()
      throw error
    }
    try work.finish()
    do throws(Damage) { try check.finish() } catch { throw file.error(error) }
  }

  /// Compares what the frames hold with what the index says.
  private final class Check {
    private let index: SegmentIndex
    private let tree = TreeHasher()
    private var after: MerkleFrontier
    private var own = MerkleFrontier()
    private var entryCount: UInt64 = 0
    private var map = StreamMap.Builder()
    private var last: LinePosition?
    private(set) var number = 0

    init(_ index: SegmentIndex) {
      self.index = index
      after = index.before
    }

    func take(_ frame: SegmentFrame) throws(Damage) {
      var record = frame.record
      record.offset = index.frames[number].offset
      record.bytes = index.frames[number].bytes
      guard record == index.frames[number] else {
        throw Damage("it does not hold what the index says", frame: number)
      }
      if let last, last >= frame.first {
        throw Damage("its lines are not in the order of the log", frame: number)
      }
      entryCount += frame.entryCount - (last?.entry == frame.first.entry ? 1 : 0)
      last = frame.last
      map.add(frame.streams)
      for leaf in frame.leaves {
        after.append(leaf, tree)
        own.append(leaf, tree)
      }
      number += 1
    }

    func finish() throws(Damage) {
      guard after == index.after, own.root(tree) == index.ownRoot, entryCount == index.entryCount
      else { throw Damage("its events are not those of the roots that its index names") }
      guard map.finish().buckets == index.map else {
        throw Damage("its map of streams is not that of its events")
      }
    }
  }
}
