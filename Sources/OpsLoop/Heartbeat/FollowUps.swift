import Ledger
import Log
import Postgres

/// What a heartbeat did with the follow-ups of manual changes.
struct FollowUps {
  var missions = 0
  var requeued = 0
  var warnings: [String] = []
  /// Whether there may be more follow-ups.
  var isFull = false
}

extension Engine {
  private static let followUpsMax = 200

  /// A client of the predecessor inserts an approved proposal, and its mission in the next statement: a row that is
  /// new waits for five seconds.
  private static let isDue = """
    ((NOT is_new OR noted_at NOT BETWEEN (SELECT ledger.now()) - interval '5 seconds'
        AND (SELECT ledger.now()) + interval '5 seconds')
      AND stream <> ALL ($1::uuid[]))
    """
  private static let hasFollowUps = Statement(
    "SELECT EXISTS (SELECT FROM ledger.follow_ups WHERE \(isDue))")
  /// Whether a follow-up is due.
  var anyFollowUps: (Statement, Parameters) { (Self.hasFollowUps, notQuarantined) }

  /// Continues from rows that were changed manually: an approved proposal gets its mission, and a mission starts, ends
  /// or reopens as its steps now require.
  func followUp() throws(OpsError) -> FollowUps {
    var followUps = FollowUps()
    let listed = try Self.amended(session.query(Self.listFollowUps, notQuarantined))
    followUps.isFull = listed.count == Self.followUpsMax
    var done: [Amended] = []
    for amended in listed {
      do throws(OpsError) {
        if amended.rowType == .proposal {
          if try goOn(fromProposal: amended.stream) { followUps.missions += 1 }
        } else {
          followUps.requeued += try goOn(fromMission: amended.stream)
        }
        quarantined.remove(amended.stream)
        done.append(amended)
      } catch {
        guard error.isOfARow else { throw error }
        if error.isOfItsRow {
          followUps.warnings.append(
            "\(amended.rowType.rawValue) \(amended.stream) was changed manually: \(error)")
          done.append(amended)
        } else {
          // The reason may pass, so the follow-up stays.
          quarantined.add(Quarantined(rowType: amended.rowType, row: amended.stream, error: error))
        }
      }
    }
    try takeOff(done)
    return followUps
  }

  /// Deletes follow-ups. Those that another transaction has locked stay.
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

  private struct Amended {
    var stream: StreamID
    var rowType: RowType
    /// The number of the manual change.
    var mark: Int64
  }

  /// The oldest first. A row that is changed again meanwhile gets another mark, and its follow-up stays.
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

  private static func amended(_ rows: Rows) throws(OpsError) -> [Amended] {
    try rows.map { (row) throws(PostgresError) in
      Amended(
        stream: StreamID(try rows.uuid(row, 0)),
        rowType: try rows.text(row, 1) == RowType.proposal.rawValue ? .proposal : .mission,
        mark: try rows.int8(row, 2))
    }
  }

  private static func marks(of amended: [Amended]) -> Parameters {
    var marks = ArrayBuilder(.int8)
    for row in amended { marks.int8(row.mark) }
    return Parameters {
      $0.uuids(amended.map(\.stream))
      $0.array(marks)
    }
  }

  private func goOn(fromProposal id: StreamID) throws(OpsError) -> Bool {
    try perform(by: { (policies) in
      var reads = Reads()
      let locked = LockedProposal(id, in: &reads)
      var command = Command(reads) { (found, draft) throws(OpsError) in
        // It may have been archived meanwhile.
        guard let proposal = try locked.loadIfThere(found, into: &draft) else { return false }
        return try draft.goOn(
          from: proposal, existing: try found[locked.mission], policies: policies,
          executors: Executors.names)
      }
      command.lockWait = .brief
      return command
    }).answer
  }

  private static let lockStepsOf = Statement(
    """
    SELECT \(Step.select("s")) FROM public.ops_mission_steps AS s WHERE s.mission_id = $1::uuid
    ORDER BY s.id FOR NO KEY UPDATE
    """)

  private func goOn(fromMission id: StreamID) throws(OpsError) -> Int {
    try perform(by: { (policies) in
      var reads = Reads()
      let missions = reads.rows(of: Mission.self, Self.lockMissions, Parameters([id]))
      let steps = reads.rows(of: Step.self, Self.lockStepsOf, Parameters(id))
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
  /// Whether the row itself is the reason, so that another attempt fails as well.
  fileprivate var isOfItsRow: Bool {
    [.templateInvalid, .executorNotFound, .inconsistentRow].contains(code)
  }
}
