public import Crypto
import LZ4
public import Ledger
public import Log

/// Reads a segment. Opening it reads the index only. Serves one thread at a time.
///
/// Damage throws `OPS_015`, whose facts name the file, the frame, and the first and last entry that are unavailable.
public final class SegmentReader {
  public let index: SegmentIndex
  private let file: FramedFile
  private let lineReader = EventLineReader()
  /// Frames that were read for a few lines. A reader of one mission asks for the same frames again.
  private var kept: [Int: [UInt8]] = [:]

  /// Reads and checks the index: the end of the file, the offsets, and the roots.
  public init(_ store: any ObjectStore, _ file: StoredFile) throws(OpsError) {
    guard let name = SegmentName(path: file.name) else {
      throw FramedFile.error(file, store, Damage("its name is not that of a segment"), entries: nil)
    }
    do throws(OpsError) {
      self.file = try FramedFile(store, file)
      do throws(Damage) {
        index = try SegmentIndex(self.file.index, of: name)
      } catch { throw FramedFile.error(file, store, error, entries: name.entries) }
    } catch { throw error.losing(name.entries) }
  }

  public var bytesRead: UInt64 { file.bytesRead }

  /// Hands over the lines of these entries in the order of the log, each with its newline and as an event. Both are valid
  /// until the next line.
  public func lines(
    of entries: ClosedRange<Int64>,
    _ body: (UnsafeRawBufferPointer, EventLine) throws(OpsError) -> Void
  ) throws(OpsError) {
    for (number, frame) in index.frames.enumerated() where frame.entries.overlaps(entries) {
      try SegmentFrameMaker.eachLine(of: try file.text(number)) { (line) throws(OpsError) in
        let event = try event(line, number)
        if entries.contains(event.entry) { try body(line, event) }
      }
    }
  }

  private func event(_ line: UnsafeRawBufferPointer, _ frame: Int) throws(OpsError) -> EventLine {
    do { return try lineReader.read(line) } catch {
      throw file.error(Damage("an event of it cannot be read: \(error)", frame: frame))
    }
  }

  /// Hands over the wanted lines, in order or backwards, until `body` returns false.
  ///
  /// - Returns: False if `body` returned false.
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
      let goesOn =
        if choice.isSparse {
          try keptText(ofFrame: number).withBytes { (text) throws(OpsError) in
            try lines(wanted, in: text, number, backwards: backwards, body)
          }
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
    let event = try event(line, number)
    guard wanted.entries.contains(event.entry), wanted.only?.contains(event.entry) ?? true,
      wanted.streams.contains(event.stream), wanted.upTo.map({ event.recordedAt <= $0 }) ?? true
    else { return true }
    return try body(event)
  }

  /// Reads the whole file and compares its SHA-256, without a look at the events.
  func checkBytes() throws(OpsError) {
    do throws(OpsError) { try file.eachFrame { (_, _) throws(OpsError) in } } catch {
      // The error of a damaged frame says more.
      if error.code == .storeDiverged {
        for number in index.frames.indices { _ = try file.text(number) }
      }
      throw error
    }
  }

  public struct CheckedFrame: Sendable {
    public let number: Int
    public let text: [UInt8]
    /// The leaves of its events, in order.
    public let leaves: [Digest]
    let gone: GoneContent
    let unknownType: String?
  }

  /// Reads the whole file and checks every hash: each frame, the roots over all events, and the SHA-256 of the file.
  ///
  /// - Parameter each: Gets each frame in order, after it was checked. The roots are compared after the last frame, so a
  ///   caller must not rely on the frames before this returns.
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
      try file.checked { () throws(Damage) in try check.take(made.frame) }
      try body(
        CheckedFrame(
          number: number, text: made.text, leaves: made.frame.leaves, gone: made.frame.gone,
          unknownType: made.frame.unknownType))
    }
    do throws(OpsError) {
      try file.eachFrame { (number, bytes) throws(OpsError) in
        try work.add { () throws(Damage) in
          // The decoder owns the text.
          let decoder = FrameDecoder()
          defer { withExtendedLifetime(decoder) {} }
          let text = try framed.decode(bytes, number, decoder, SHA256())
          return (try SegmentFrameMaker().read(text), Array(text))
        }
      }
    } catch {
      // The error of a damaged frame says more.
      try work.finish()
      throw error
    }
    try work.finish()
    try file.checked { () throws(Damage) in try check.finish() }
  }

  /// Compares the frames with the index.
  private final class Check {
    private let index: SegmentIndex
    private var totals: SegmentTotals
    private var map = StreamMap.Builder()
    private(set) var number = 0

    init(_ index: SegmentIndex) {
      self.index = index
      totals = SegmentTotals(after: index.before)
    }

    func take(_ frame: SegmentFrame) throws(Damage) {
      var record = frame.record
      record.offset = index.frames[number].offset
      record.bytes = index.frames[number].bytes
      guard record == index.frames[number] else {
        throw Damage("it differs from its description in the index of the file", frame: number)
      }
      guard totals.add(frame) else {
        throw Damage("its lines are not in the order of the log", frame: number)
      }
      map.add(frame.streams)
      number += 1
    }

    func finish() throws(Damage) {
      guard totals.after == index.after, totals.ownRoot == index.ownRoot,
        totals.entryCount == index.entryCount
      else { throw Damage("its events do not match the Merkle roots in its index") }
      guard map.finish().buckets == index.map else {
        throw Damage("its map of streams does not match its events")
      }
    }
  }
}
