import Ledger
import Log

/// Finds a stream's slot: open addressing over the ids that the slots hold already, since the general
/// dictionary's hashing was an eighth of a fold.
struct StreamIndex {
  /// The slot plus one in the low half, a part of the hash in the high half; 0 is free.
  private var cells = [UInt64](repeating: 0, count: 64)
  private var count = 0

  /// Ids of version 7 carry 74 random bits; the multiplication spreads those that do not.
  private static func hash(_ stream: StreamID) -> UInt64 {
    let mixed = (stream.high ^ stream.low) &* 0x9E37_79B9_7F4A_7C15
    return mixed ^ mixed >> 32
  }

  /// - Parameter isAt: Whether the stream is the one in a slot.
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

  /// Adds a stream that is not there.
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
