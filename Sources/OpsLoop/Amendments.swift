import JSON
import Ledger
import Log
import Postgres

/// What a heartbeat made of what hands decided.
struct AmendmentsHonoured {
  var missions = 0
  var requeued = 0
  var warnings: [String] = []
  /// Whether there may be more to look at.
  var isFull = false
}

extension Engine {
  static let attentionMax = 200

  /// A client of the origin puts in an approved proposal, and its mission in its next statement: what is
  /// new is left alone for a moment.
  private static let isDue =
    "(NOT is_new OR noted_at <= (SELECT ledger.now()) - interval '5 seconds')"
  private static let hasAttention = Statement(
    "SELECT EXISTS (SELECT FROM ledger.attention WHERE \(isDue))")
  /// Whether a hand has changed a proposal or a step since somebody looked.
  var anyAttention: (Statement, Parameters) { (Self.hasAttention, Parameters()) }

  /// Goes on from rows that hands have changed: an approved proposal gets its mission, a mission starts,
  /// ends and reopens by what its steps are now.
  func honourAmendments() throws(OpsError) -> AmendmentsHonoured {
    var honoured = AmendmentsHonoured()
    let listed = try session.query(Self.listAttention)
    honoured.isFull = listed.count == Self.attentionMax
    let (proposals, missions, marks) = try Self.read(listed)
    for id in proposals {
      do throws(OpsError) {
        if try goOn(fromProposal: id) { honoured.missions += 1 }
      } catch {
        guard error.isOfItsRow else { throw error }
        honoured.warnings.append("proposal \(id) was changed by hand: \(error)")
      }
    }
    for id in missions {
      do throws(OpsError) { honoured.requeued += try goOn(fromMission: id) } catch {
        guard error.isOfItsRow else { throw error }
        honoured.warnings.append("mission \(id) was changed by hand: \(error)")
      }
    }
    if listed.count > 0 { _ = try session.query(Self.takeOff, marks) }
    return honoured
  }

  /// The oldest first. What a hand changes meanwhile has another mark, and stays on the list.
  private static let listAttention = Statement(
    """
    SELECT stream, noun, mark FROM ledger.attention WHERE \(isDue)
    ORDER BY mark LIMIT \(attentionMax)
    """)
  private static let takeOff = Statement(
    """
    DELETE FROM ledger.attention AS a USING unnest($1::uuid[], $2::bigint[]) AS v(stream, mark)
    WHERE a.stream = v.stream AND a.mark = v.mark
    """)

  private static func read(
    _ rows: Rows
  ) throws(OpsError) -> (proposals: [StreamID], missions: [StreamID], marks: Parameters) {
    var (proposals, missions): ([StreamID], [StreamID]) = ([], [])
    var marks = ArrayBuilder(.int8)
    try onRow { () throws(PostgresError) in
      for row in 0..<rows.count {
        let id = StreamID(try rows.uuid(row, 0))
        if try rows.text(row, 1) == NounName.proposal.rawValue {
          proposals.append(id)
        } else {
          missions.append(id)
        }
        marks.int8(try rows.int8(row, 2))
      }
    }
    var parameters = Parameters()
    parameters.uuids(try rows.streamIDs())
    parameters.array(marks)
    return (proposals, missions, parameters)
  }

  private func goOn(fromProposal id: StreamID) throws(OpsError) -> Bool {
    var isMade = false
    let command = Command(load: Self.lockProposal(id) + [cache.request]) {
      (answers, draft) throws(OpsError) in
      _ = try self.cache.take(answers[2])
      isMade = false
      // It may have left meanwhile.
      guard answers[0].count == 1 else { return .null }
      let proposal = try Self.proposal(id, answers, &draft)
      isMade = try draft.goOn(
        from: proposal, existing: try answers[1].firstID(), policies: self.cache.policies,
        executors: Executors.names)
      return .bool(isMade)
    }
    let committed = try perform(command)
    return committed.isRepeat ? committed.result.boolValue ?? false : isMade
  }

  private static let lockMission = Statement(
    """
    SELECT \(Mission.select("m")) FROM ops_missions AS m WHERE m.id = $1::uuid FOR NO KEY UPDATE
    """)
  private static let lockStepsOf = Statement(
    """
    SELECT \(Step.select("s")) FROM ops_mission_steps AS s WHERE s.mission_id = $1::uuid
    ORDER BY s.id FOR NO KEY UPDATE
    """)

  private func goOn(fromMission id: StreamID) throws(OpsError) -> Int {
    var named = Parameters()
    named.uuid(id)
    var requeued = 0
    let command = Command(
      load: [(Self.lockMission, named), (Self.lockStepsOf, named), cache.request]
    ) { (answers, draft) throws(OpsError) in
      _ = try self.cache.take(answers[2])
      requeued = 0
      guard answers[0].count == 1 else { return .null }
      let mission = try answers[0].row(0, of: Mission.self)
      try draft.load(mission, as: id)
      for step in try answers[1].rows(of: Step.self) { try draft.load(step, as: step.id) }
      requeued = try draft.goOn(from: mission, rules: self.rules)
      return .int(requeued)
    }
    let committed = try perform(command)
    return committed.isRepeat ? committed.result.intValue ?? 0 : requeued
  }
}

extension OpsError {
  /// Whether it is about one row, so that the others can go on.
  fileprivate var isOfItsRow: Bool {
    [.templateInvalid, .executorNotFound, .inconsistentRow].contains(code)
  }
}
