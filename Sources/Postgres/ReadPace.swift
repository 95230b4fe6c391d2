/// Slows down whoever reads much, where others need the server more.
public protocol ReadPace: Sendable {
  /// Called by a COPY OUT now and then, in its thread.
  ///
  /// - Parameter nanoseconds: How long it has read since the last call.
  func rest(after nanoseconds: UInt64)
}
