import Ledger
import Postgres

/// Writes entries by COPY.
struct LogWriter {
  private(set) var events = 0
  private var entry: Int64
  private let log: CopyWriter

  init(_ url: String, after entry: Int64) throws(PostgresError) {
    self.entry = entry
    log = try Connection(url: url).copyIn(
      """
      COPY ledger.events (entry, index, stream, version, type, recorded_at, actor, cause, command, data, content, salt)
      FROM STDIN (FORMAT binary)
      """)
  }

  /// - Parameter swappingLast: Whether the last two entries change places, as after two writers of which one is faster.
  mutating func write(
    _ entries: [Scenario.Entry], swappingLast: Bool
  ) throws(PostgresError) {
    var order = Array(entries.indices)
    if swappingLast { order.swapAt(order.count - 1, order.count - 2) }
    for index in order { try write(entries[index], number: entry + Int64(index) + 1) }
    entry += Int64(entries.count)
  }

  func finish() throws(PostgresError) { try log.finish() }

  private mutating func write(
    _ entry: Scenario.Entry, number: Int64
  ) throws(PostgresError) {
    let at = entry.draft.at.micros
    var ids = IDSource(seed: (UInt64(number), 7))
    let command = ids.next(at: entry.draft.at)
    for (index, event) in entry.draft.events.enumerated() {
      try log.row(12)
      log.int8(number)
      log.int4(Int32(index))
      log.uuid(event.stream.high, event.stream.low)
      log.int4(event.version)
      log.text(event.type)
      log.timestamptz(microsSince1970: at)
      log.text(entry.actor)
      log.int8(event.cause)
      log.uuid(command.high, command.low)
      log.json(event.data)
      log.json(event.content)
      if event.content == nil {
        log.null()
      } else {
        let salt = ids.next(at: entry.draft.at)
        log.uuid(salt.low, salt.high ^ salt.low &* 31)
      }
      events += 1
    }
  }
}
