public import Crypto
public import Ledger

public struct SegmentIndex: Equatable, Sendable {
  public let name: SegmentName
  /// The ledger's identity.
  public let identity: StreamID
  /// The number of entries with events.
  public let entryCount: UInt64
  /// The tree over the log before this segment.
  public let before: MerkleFrontier
  /// The tree over the log up to the end of this segment, and its root.
  public let after: MerkleFrontier
  public let root: Digest
  /// The root of a tree over the events of this segment alone.
  public let ownRoot: Digest
  public let frames: [FrameRecord]
  let map: [StreamMap.Bucket]

  public var eventCount: UInt64 { after.size - before.size }

  var framed: FramedIndex {
    var wire = WireWriter()
    wire.put(entryCount)
    wire.put(before.size)
    wire.put(after.size)
    wire.put(root)
    wire.put(ownRoot)
    for root in before.roots + after.roots { wire.put(root) }
    return FramedIndex(
      kind: .segment, identity: identity, entries: name.entries, generation: name.generation,
      frames: frames, map: map, particulars: wire.bytes)
  }
}

extension SegmentIndex {
  /// - Throws: If it is not the index of a segment of this name, or contradicts itself.
  init(_ index: FramedIndex, of name: SegmentName) throws(Damage) {
    guard index.kind == .segment else { throw Damage("it is not a segment") }
    guard index.entries == name.entries, index.generation == name.generation else {
      let own = SegmentName(index.entries, generation: index.generation)
      throw Damage("its index says that it is \(own)")
    }
    self.name = name
    identity = index.identity
    frames = index.frames
    map = index.map
    var wire = WireReader(index.particulars[...])
    do throws(WireReader.CutShort) {
      entryCount = try wire.int()
      let (sizeBefore, sizeAfter): (UInt64, UInt64) = (try wire.int(), try wire.int())
      root = try wire.digest()
      ownRoot = try wire.digest()
      before = try wire.tree(sizeBefore)
      after = try wire.tree(sizeAfter)
    } catch { throw .indexIncomplete }
    guard wire.left == 0, after.root(TreeHasher()) == root else {
      throw Damage("the Merkle root in its index does not match the tree in its index")
    }
    try check(lines: index.lines)
  }

  private func check(lines: UInt64) throws(Damage) {
    guard after.size >= before.size, eventCount == lines, entryCount <= lines,
      (entryCount == 0) == (lines == 0), lines > 0 || before == after
    else { throw .miscounted }
    var last = name.entries.lowerBound
    for (number, frame) in frames.enumerated() {
      // An entry may continue in the next frame.
      guard frame.entries.lowerBound >= last, frame.entries.upperBound <= name.entries.upperBound,
        frame.run == 0
      else { throw Damage("the index of the file lists its entries out of order", frame: number) }
      last = frame.entries.upperBound
    }
    if let first = frames.first?.entries.lowerBound,
      !EntryNumber.partition(of: first).contains(last)
    {
      throw Damage("its events are of several partitions of the log, and a segment has one")
    }
  }
}

extension WireReader {
  fileprivate mutating func tree(_ size: UInt64) throws(CutShort) -> MerkleFrontier {
    // A size has as many roots as bits, so this is never nil.
    MerkleFrontier(size: size, roots: try digests(size.nonzeroBitCount)) ?? MerkleFrontier()
  }
}
