private import Glibc

/// What did not come about, and what was seen instead.
public struct NeverCame: Error, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}

/// Waits until `condition` holds, however busy the machine is. What never comes ends the test after five minutes, and
/// says what was seen last.
///
/// - Parameters:
///   - what: What is waited for, in words.
///   - saw: What there is instead, asked when the time is over.
public func waitUntil(
  _ what: String, saw: () throws -> String = { "nothing else" }, _ condition: () throws -> Bool
) throws {
  let end = now() + 300
  while try !condition() {
    guard now() < end else {
      throw NeverCame("\(what): not within five minutes; there is \(try saw())")
    }
    usleep(10_000)
  }
}

/// Gives `body` more time at each try, from `seconds` on up to five minutes, where it depends on the machine how much
/// is enough. The last failure stands.
public func patiently<Value>(
  from seconds: Double = 1, _ body: (_ seconds: Double) throws -> Value
) throws -> Value {
  var seconds = seconds
  while seconds < 300 {
    if let value = try? body(seconds) { return value }
    seconds *= 4
  }
  return try body(300)
}

private func now() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec
}
