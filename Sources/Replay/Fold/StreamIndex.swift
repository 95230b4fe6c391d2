import Ledger
import Log

/// Finds a stream's slot by open addressing over the ids in the slots. The hashing of Swift's dictionary was an eighth of
/// a fold's time.
struct StreamIndex {
  /// The slot plus one in the low half, a part of the hash in the high half. A free cell is 0.
  private var cells = [UInt64](repeating: 0, count: 64)
  private var count = 0

  /// Ids of version 7 have 74 random bits. The multiplication spreads ids of other versions.
  private static func hash(_ stream: StreamID) -> UInt64 {
    let mixed = (stream.high ^ stream.low) &* 0x9E37_79B9_7F4A_7C15
    return mixed ^ mixed >> 32
  }

  /// - Parameter isAt: Says whether the stream is in a slot.
  func find(_ stream: StreamID, isAt: (Int) -> Bool) -> Int? {
    let hash = Self.hash(stream)
    let mask = cells.count - 1
    var at = Int(truncatingIfNeeded: hash) & mask
    while cells[at] != 0 {
      let slot = Int(cells[at] & 0xFFFF_FFFF) - 1
      if cells[at] >> 32 == hash >> 32, isAt(slot) { return slot }
      at = (at + 1) & mask
    }
    return nil
  }

  /// Adds a stream that the index does not have.
  mutating func insert(_ stream: StreamID, slot: Int, streamAt: (Int) -> StreamID) {
    count += 1
    if count * 2 > cells.count {
      let old = cells
      cells = [UInt64](repeating: 0, count: old.count * 4)
      for cell in old where cell != 0 {
        let slot = Int(cell & 0xFFFF_FFFF) - 1
        place(streamAt(slot), slot)
      }
    }
    place(stream, slot)
  }

  private mutating func place(_ stream: StreamID, _ slot: Int) {
    let hash = Self.hash(stream)
    let mask = cells.count - 1
    var at = Int(truncatingIfNeeded: hash) & mask
    while cells[at] != 0 { at = (at + 1) & mask }
    cells[at] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(slot + 1)
  }
}
