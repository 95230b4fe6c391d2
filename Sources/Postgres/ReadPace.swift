/// Slows down a large read while other clients need the server.
public protocol ReadPace: Sendable {
  /// A COPY OUT calls this on its thread each time it has read some data.
  ///
  /// - Parameter nanoseconds: The time since the last call.
  func rest(after nanoseconds: UInt64)
}
