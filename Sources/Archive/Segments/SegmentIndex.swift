public import Crypto
public import Ledger

/// What a segment says of itself, without a look into its frames.
public struct SegmentIndex: Equatable, Sendable {
  public let name: SegmentName
  /// Of the ledger whose history it is.
  public let identity: StreamID
  /// How many entries it has events of.
  public let entryCount: UInt64
  /// The tree over the log, without the events of this segment.
  public let before: MerkleFrontier
  /// The tree over the log up to the end of this segment.
  public let after: MerkleFrontier
  /// Of the tree up to the end of this segment.
  public let root: Digest
  /// Of a tree over the events of this segment alone.
  public let ownRoot: Digest
  public let frames: [FrameRecord]
  let map: [StreamMap.Bucket]

  public var eventCount: UInt64 { after.size - before.size }
  /// Of all lines, decoded.
  public var textBytes: UInt64 { frames.reduce(0) { $0 + UInt64($1.textBytes) } }

  init(
    name: SegmentName, identity: StreamID, entryCount: UInt64, before: MerkleFrontier,
    after: MerkleFrontier, ownRoot: Digest, frames: [FrameRecord], map: [StreamMap.Bucket]
  ) {
    self.name = name
    self.identity = identity
    self.entryCount = entryCount
    self.before = before
    self.after = after
    self.ownRoot = ownRoot
    self.frames = frames
    self.map = map
    root = after.root(TreeHasher())
  }

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

  /// - Throws: Where it is not the index of a segment of this name, or says what cannot be.
  init(_ index: FramedIndex, of name: SegmentName) throws(Damage) {
    guard index.kind == .segment else { throw Damage("it is not a segment") }
    guard index.entries == name.entries, index.generation == name.generation else {
      let own = SegmentName(index.entries, generation: index.generation)
      throw Damage("it is \(own) under another name")
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
      // As many roots as the size has bits: neither can fail.
      before =
        MerkleFrontier(
          size: sizeBefore, roots: try wire.digests(sizeBefore.nonzeroBitCount))
        ?? MerkleFrontier()
      after =
        MerkleFrontier(size: sizeAfter, roots: try wire.digests(sizeAfter.nonzeroBitCount))
        ?? MerkleFrontier()
    } catch { throw Damage("its index is cut short") }
    guard wire.left == 0, after.root(TreeHasher()) == root else {
      throw Damage("its index names a root that its tree does not have")
    }
    try check(lines: index.lines)
  }

  private func check(lines: UInt64) throws(Damage) {
    guard after.size >= before.size, eventCount == lines, entryCount <= lines,
      (entryCount == 0) == (lines == 0), lines > 0 || before == after
    else { throw Damage("its index counts what it does not hold") }
    var last = name.entries.lowerBound
    for (number, frame) in frames.enumerated() {
      // An entry may go on in the next frame.
      guard frame.entries.lowerBound >= last, frame.entries.upperBound <= name.entries.upperBound,
        frame.run == 0
      else { throw Damage("its index has entries out of their order", frame: number) }
      last = frame.entries.upperBound
    }
    if let first = frames.first?.entries.lowerBound,
      !EntryNumber.partition(of: first).contains(last)
    {
      throw Damage("it has events of several partitions of the log")
    }
  }
}
