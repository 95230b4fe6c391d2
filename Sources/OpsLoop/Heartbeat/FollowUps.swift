import JSON
import Ledger
import Log
import Postgres

/// What a heartbeat made of what hands decided.
struct FollowUps {
  var missions = 0
  var requeued = 0
  var warnings: [String] = []
  /// Whether there may be more to look at.
  var isFull = false
}

extension Engine {
  static let followUpsMax = 200

  /// A client of the origin puts in an approved proposal, and its mission in its next statement: what is
  /// new is left alone for a moment.
  private static let isDue = """
    ((NOT is_new OR noted_at NOT BETWEEN (SELECT ledger.now()) - interval '5 seconds'
        AND (SELECT ledger.now()) + interval '5 seconds')
      AND stream <> ALL ($1::uuid[]))
    """
  private static let hasFollowUps = Statement(
    "SELECT EXISTS (SELECT FROM ledger.follow_ups WHERE \(isDue))")
  /// Whether a hand has changed a proposal or a step since somebody looked.
  var anyFollowUps: (Statement, Parameters) { (Self.hasFollowUps, notQuarantined) }
  private var notQuarantined: Parameters {
    var parameters = Parameters()
    parameters.uuids(quarantined.skipped)
    return parameters
  }

  /// Goes on from rows that hands have changed: an approved proposal gets its mission, a mission starts,
  /// ends and reopens by what its steps are now.
  func followUp() throws(OpsError) -> FollowUps {
    var followUps = FollowUps()
    let listed = try Self.read(session.query(Self.listFollowUps, notQuarantined))
    followUps.isFull = listed.count == Self.followUpsMax
    var done: [Amended] = []
    for amended in listed {
      do throws(OpsError) {
        switch amended.rowType {
        case .proposal: if try goOn(fromProposal: amended.stream) { followUps.missions += 1 }
        default: followUps.requeued += try goOn(fromMission: amended.stream)
        }
        quarantined.remove(amended.stream)
        done.append(amended)
      } catch {
        guard error.isOfARow else { throw error }
        if error.isOfItsRow {
          followUps.warnings.append(
            "\(amended.rowType.rawValue) \(amended.stream) was changed by hand: \(error)")
          done.append(amended)
        } else {
          // What is in the way may go: it stays on the list.
          quarantined.add(Quarantined(rowType: amended.rowType, row: amended.stream, error: error))
        }
      }
    }
    try takeOff(done)
    return followUps
  }

  /// What another transaction has locked on the list stays there.
  private func takeOff(_ done: [Amended]) throws(OpsError) {
    if done.isEmpty { return }
    do throws(OpsError) {
      _ = try session.query(all: [LockWait.briefly, (Self.takeOff, Self.marks(of: done))])
    } catch {
      guard error.isOfARow else { throw error }
      if done.count > 1 {
        let middle = done.count / 2
        try takeOff(Array(done[..<middle]))
        return try takeOff(Array(done[middle...]))
      }
      quarantined.add(Quarantined(rowType: done[0].rowType, row: done[0].stream, error: error))
    }
  }

  /// A row that a hand changed, and the mark of that change.
  private struct Amended {
    var stream: StreamID
    var rowType: RowType
    var mark: Int64
  }

  /// The oldest first. What a hand changes meanwhile has another mark, and stays on the list.
  private static let listFollowUps = Statement(
    """
    SELECT stream, row_type, mark FROM ledger.follow_ups WHERE \(isDue)
    ORDER BY mark LIMIT \(followUpsMax)
    """)
  private static let takeOff = Statement(
    """
    DELETE FROM ledger.follow_ups AS a USING unnest($1::uuid[], $2::bigint[]) AS v(stream, mark)
    WHERE a.stream = v.stream AND a.mark = v.mark
    """)

  private static func read(_ rows: Rows) throws(OpsError) -> [Amended] {
    try onRow { () throws(PostgresError) in
      var amended: [Amended] = []
      for row in 0..<rows.count {
        amended.append(
          Amended(
            stream: StreamID(try rows.uuid(row, 0)),
            rowType: try rows.text(row, 1) == RowType.proposal.rawValue ? .proposal : .mission,
            mark: try rows.int8(row, 2)))
      }
      return amended
    }
  }

  private static func marks(of amended: [Amended]) -> Parameters {
    var marks = ArrayBuilder(.int8)
    for row in amended { marks.int8(row.mark) }
    var parameters = Parameters()
    parameters.uuids(amended.map(\.stream))
    parameters.array(marks)
    return parameters
  }

  private func goOn(fromProposal id: StreamID) throws(OpsError) -> Bool {
    try perform(by: { (policies) in
      var reads = Reads()
      let locked = LockedProposal(id, in: &reads)
      var command = Command(reads) { (found, draft) throws(OpsError) in
        // It may have left meanwhile.
        guard let proposal = try locked.loadIfThere(found, into: &draft) else { return false }
        return try draft.goOn(
          from: proposal, existing: try found[locked.mission], policies: policies,
          executors: Executors.names)
      }
      command.lockWait = .brief
      return command
    }).answer
  }

  private static let lockMission = Statement(
    """
    SELECT \(Mission.select("m")) FROM public.ops_missions AS m WHERE m.id = $1::uuid FOR NO KEY UPDATE
    """)
  private static let lockStepsOf = Statement(
    """
    SELECT \(Step.select("s")) FROM public.ops_mission_steps AS s WHERE s.mission_id = $1::uuid
    ORDER BY s.id FOR NO KEY UPDATE
    """)

  private func goOn(fromMission id: StreamID) throws(OpsError) -> Int {
    var named = Parameters()
    named.uuid(id)
    return try perform(by: { (policies) in
      var reads = Reads()
      let missions = reads.rows(of: Mission.self, Self.lockMission, named)
      let steps = reads.rows(of: Step.self, Self.lockStepsOf, named)
      var command = Command(reads) { (found, draft) throws(OpsError) in
        guard let mission = try found[missions].first else { return 0 }
        try draft.load(mission, as: id)
        for step in try found[steps] { try draft.load(step, as: step.id) }
        return try draft.goOn(from: mission, rules: self.rules(policies))
      }
      command.lockWait = .brief
      return command
    }).answer
  }
}

extension OpsError {
  /// Whether it is about one row, so that the others can go on.
  fileprivate var isOfItsRow: Bool {
    [.templateInvalid, .executorNotFound, .inconsistentRow].contains(code)
  }
}
