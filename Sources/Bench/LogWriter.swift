import Ledger
import Log
import Postgres

/// Writes entries and the rows that they leave, each table by a COPY of its own.
struct LogWriter {
  private(set) var events = 0
  private var entry: Int64
  private let log: CopyWriter
  private let commands: CopyWriter
  private let agentEvents: CopyWriter
  private let reactions: CopyWriter
  private let proposals: CopyWriter
  private let missions: CopyWriter
  private let steps: CopyWriter
  private let runs: CopyWriter
  private var all: [CopyWriter]

  init(_ url: String, after entry: Int64) throws(PostgresError) {
    self.entry = entry
    var all: [CopyWriter] = []
    func open(_ table: String, _ columns: String) throws(PostgresError) -> CopyWriter {
      let connection = try Connection(url: url)
      try connection.execute("SET session_replication_role = replica")
      let writer = try connection.copyIn(
        "COPY \(table) (\(columns)) FROM STDIN (FORMAT binary)")
      all.append(writer)
      return writer
    }
    func open<N: Noun>(_ noun: N.Type) throws(PostgresError) -> CopyWriter {
      try open(N.table, N.columns.map(\.name).joined(separator: ", "))
    }
    log = try open(
      "ledger.events",
      """
      entry, index, stream, version, type, recorded_at, actor, cause, command, data, content, salt
      """)
    commands = try open("ledger.commands", "command, entry, events, recorded_at")
    agentEvents = try open(AgentEvent.self)
    reactions = try open(Reaction.self)
    proposals = try open(Proposal.self)
    missions = try open(Mission.self)
    steps = try open(Step.self)
    runs = try open(Run.self)
    self.all = all
  }

  /// - Parameter swappingLast: The last entry is stored before the one before it, as the faster of
  ///   two writers does.
  mutating func write(
    _ entries: [Scenario.Entry], swappingLast: Bool
  ) throws(PostgresError) {
    var order = Array(entries.indices)
    if swappingLast { order.swapAt(order.count - 1, order.count - 2) }
    for index in order {
      try write(entries[index], number: entry + Int64(index) + 1)
    }
    entry += Int64(entries.count)
    let drafts = entries.map(\.draft)
    try write(drafts.map(\.agentEvents), to: agentEvents)
    try write(drafts.map(\.reactions), to: reactions)
    try write(drafts.map(\.proposals), to: proposals)
    try write(drafts.map(\.missions), to: missions)
    try write(drafts.map(\.steps), to: steps)
    try write(drafts.map(\.runs), to: runs)
  }

  mutating func finish() throws(PostgresError) {
    for writer in all { try writer.finish() }
    all = []
  }

  private mutating func write(
    _ entry: Scenario.Entry, number: Int64
  ) throws(PostgresError) {
    let at = entry.draft.at.micros
    var ids = IDSource(seed: (UInt64(number), 7))
    let command = ids.next(at: entry.draft.at)
    try commands.row(4)
    commands.uuid(command.high, command.low)
    commands.int8(number)
    commands.int4(Int32(entry.draft.events.count))
    commands.timestamptz(microsSince1970: at)
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

  /// Each row as the last of the drafts leaves it.
  private func write<N: Noun>(
    _ tables: [DraftTable<N>], to writer: CopyWriter
  ) throws(PostgresError) {
    var written = Set<StreamID>()
    for table in tables.reversed() {
      for (stream, row) in table.rows where written.insert(stream).inserted {
        try writer.row(N.columns.count)
        for column in N.columns { writer.append(column.get(row)) }
      }
    }
  }
}
