import Ledger
import Log
import Postgres

/// Folds events into rows: `row(stream) = events(stream).reduce(nil, evolve)`.
struct Fold {
  /// The columns that a reader of events selects, in this order.
  static let columns = "entry, index, stream, version, type, recorded_at, data, content"

  var agentEvents = FoldTable<AgentEvent>()
  var reactions = FoldTable<Reaction>()
  var proposals = FoldTable<Proposal>()
  var missions = FoldTable<Mission>()
  var steps = FoldTable<Step>()
  var runs = FoldTable<Run>()
  var policies = FoldTable<Policy>()
  var radar = FoldTable<Radar>()
  var holds = FoldTable<Hold>()
  var ledger = FoldTable<LedgerRecord>()

  let context = FoldContext()
  private(set) var eventCount = 0
  private let types = EventTypes()

  /// Takes one row of `COPY (SELECT columns …)`.
  mutating func take(_ row: borrowing CopyRow) throws(PostgresError) {
    take(try EventView(row), type: row[4].bytes)
  }

  /// Takes one line of `COPY ledger.events TO`.
  mutating func take(_ line: EventLine) {
    let fixed = EventView.Fixed(
      position: LogPosition(entry: line.entry, index: line.index), stream: line.stream,
      version: line.version, at: line.recordedAt)
    take(EventView(fixed: fixed, data: line.data, content: line.content), type: line.type)
  }

  mutating func take(_ event: EventView, type name: UnsafeRawBufferPointer) {
    eventCount += 1
    guard let type = types.find(name) else {
      let unknown = String(decoding: name, as: UTF8.self)
      context.problems.append(LogProblem(event.fixed, .unknownType(unknown)))
      return
    }
    switch type.rowType {
    case .agentEvent: agentEvents.take(event, kind: type.kind, context)
    case .reaction: reactions.take(event, kind: type.kind, context)
    case .proposal: proposals.take(event, kind: type.kind, context)
    case .mission: missions.take(event, kind: type.kind, context)
    case .step: steps.take(event, kind: type.kind, context)
    case .run: runs.take(event, kind: type.kind, context)
    case .policy: policies.take(event, kind: type.kind, context)
    case .radar: radar.take(event, kind: type.kind, context)
    case .hold: holds.take(event, kind: type.kind, context)
    case .ledger: ledger.take(event, kind: type.kind, context)
    }
  }

  /// How many rows exist after the events.
  var rowCount: Int {
    var counting = Counting(fold: self)
    try? counting.visitParentsFirst()
    return counting.rows
  }

  /// Ends a slice of the log: reports each version that is still missing.
  mutating func finish() {
    var finishing = Finishing(fold: self)
    try? finishing.visitParentsFirst()
    self = finishing.fold
  }

  private struct Counting: RowVisitor {
    let fold: Fold
    var rows = 0

    mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
      rows += fold[keyPath: table].slots.count { $0.row != nil }
    }
  }

  private struct Finishing: RowVisitor {
    var fold: Fold

    mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
      fold[keyPath: table].finish(fold.context)
    }
  }
}

extension EventView {
  /// Reads a row of `COPY (SELECT columns …)` with ``Fold/columns``, without its type, which is column 4.
  init(_ row: borrowing CopyRow) throws(PostgresError) {
    self.init(
      fixed: Fixed(
        position: LogPosition(entry: try row[0].int8(), index: try row[1].int4()),
        stream: StreamID(try row[2].uuid()), version: try row[3].int4(),
        at: Instant(micros: try row[5].timestamptz())),
      data: row[6].bytes, content: row[7].isNull ? nil : row[7].bytes)
  }
}

/// An operation on every row type in turn.
protocol RowVisitor {
  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError)
}

extension RowVisitor {
  mutating func visitParentsFirst() throws(OpsError) {
    for rowType in RowType.allCases { try visit(rowType) }
  }

  mutating func visitChildrenFirst() throws(OpsError) {
    for rowType in RowType.allCases.reversed() { try visit(rowType) }
  }

  mutating func visit(_ rowType: RowType) throws(OpsError) {
    switch rowType {
    case .agentEvent: try visit(AgentEvent.self, \.agentEvents)
    case .reaction: try visit(Reaction.self, \.reactions)
    case .proposal: try visit(Proposal.self, \.proposals)
    case .mission: try visit(Mission.self, \.missions)
    case .step: try visit(Step.self, \.steps)
    case .run: try visit(Run.self, \.runs)
    case .policy: try visit(Policy.self, \.policies)
    case .radar: try visit(Radar.self, \.radar)
    case .hold: try visit(Hold.self, \.holds)
    case .ledger: try visit(LedgerRecord.self, \.ledger)
    }
  }
}
