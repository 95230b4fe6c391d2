import Glibc
import Synchronization

/// A progress bar on stderr, for work of more than a second. It is shown only on a terminal, and at most ten times a
/// second. Any thread may report progress.
public final class Progress: Sendable {
  private struct State {
    var total: Int
    var done = 0
    var drawnAtMillis = 0
    var shown = false
  }

  private let label: String
  private let unit: String
  private let began = Stopwatch()
  private let enabled: Bool
  private let state: Mutex<State>

  /// - Parameters:
  ///   - label: The name of the work: `rebuild`.
  ///   - total: The whole amount of work, in `unit`; 0 if it is not known.
  public init(_ label: String, total: Int = 0, unit: String = "") {
    self.label = label
    self.unit = unit
    enabled = Terminal.isTerminal(2)
    state = Mutex(State(total: total))
  }

  /// Adds to the work that is done.
  public func advance(by count: Int = 1) {
    guard enabled else { return }
    state.withLock { state in
      state.done += count
      draw(&state)
    }
  }

  /// Sets the work that is done, and the whole amount.
  public func show(done: Int, of total: Int) {
    guard enabled else { return }
    state.withLock { state in
      (state.done, state.total) = (done, total)
      draw(&state)
    }
  }

  public func expect(total: Int) { state.withLock { $0.total = total } }

  /// Removes the bar.
  public func finish() {
    state.withLock { state in
      if state.shown { Output.messages.control("\r\u{1B}[K") }
      state.shown = false
    }
  }

  private func draw(_ state: inout State) {
    let now = began.elapsedMillis
    guard now >= 1000, now - state.drawnAtMillis >= 100 else { return }
    (state.drawnAtMillis, state.shown) = (now, true)
    let columns = Terminal.columns(2)
    let text = Self.text(
      label: label, done: state.done, total: state.total, unit: unit, millis: now,
      columns: columns - 1)
    Output.messages.control("\r\(Terminal.printable(text))\u{1B}[K")
  }

  static func text(
    label: String, done: Int, total: Int, unit: String, millis: Int, columns: Int
  ) -> String {
    let perSecond = Int(clamping: Double(done) * 1000 / Double(max(1, millis)))
    let of = unit.isEmpty ? "" : " " + unit
    guard total > 0 else {
      return String("\(label)  \(done)\(of)  \(perSecond)/s".prefix(columns))
    }
    let share = max(0, min(1, Double(done) / Double(total)))
    var tail = " \(Int(share * 100)) %  \(perSecond)\(of)/s"
    // The speed of the first percent says little about the rest: files are opened, and caches are cold.
    if share >= 0.05 || (share >= 0.005 && millis >= 30_000) {
      tail +=
        "  \(DurationText.format(millis: Int(clamping: Double(millis) * (1 - share) / share))) left"
    }
    let room = min(30, columns - label.count - tail.count - 4)
    guard room >= 5 else { return String((label + tail).prefix(columns)) }
    let full = Int(share * Double(room))
    let bar = String(repeating: "#", count: full) + String(repeating: "·", count: room - full)
    return "\(label)  [\(bar)]\(tail)"
  }
}
