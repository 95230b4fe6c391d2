/// Makes the ids and random numbers of one command from a seed. The same seed gives the same ones, so decisions stay
/// pure.
public struct IDSource: Sendable {
  private var state: (UInt64, UInt64)
  private var count: UInt64 = 0

  public init(seed: (UInt64, UInt64)) { state = seed }

  /// - Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
  private static func next(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A version 7 UUID. The ids of one command sort in the order in which they were made.
  public mutating func next(at instant: Instant) -> StreamID {
    let milliseconds = UInt64(max(instant.micros == .max ? 0 : instant.micros / 1000, 0))
    defer { count += 1 }
    return StreamID(
      version7At: milliseconds,
      random: (count, Self.next(&state.0) ^ Self.next(&state.1)))
  }

  /// A random number from 0 up to, but not including, 1.
  public mutating func draw() -> Double {
    Double(Self.next(&state.0) >> 11) * 0x1p-53
  }
}
