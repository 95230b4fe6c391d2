import Ledger
import Testing

@testable import OpsLoop

/// What a worker does next, without threads or a database.
struct WorkerStateMachineTests {
  private let one = ClaimedStep(1)
  private let two = ClaimedStep(2)

  /// A worker that has claimed these steps and collects what has run.
  private func worker(
    _ steps: ClaimedStep..., watch: Bool = false, concurrency: Int = 50
  ) -> WorkerRehearsal {
    var worker = WorkerRehearsal(watch: watch, concurrency: concurrency)
    worker.go(until: "claim")
    worker.answer(.claimed(.of(steps)), until: "collect")
    return worker
  }

  // MARK: A round

  @Test("it claims, starts, collects, records and ends when a full look finds nothing")
  func round() {
    var worker = WorkerRehearsal()
    #expect(worker.answer(.began) == "note 0 running, 0 claimed")
    #expect(worker.answer(.done) == "recover but []")
    #expect(worker.answer(.recovered(0)) == "claim 50")
    #expect(worker.answer(.claimed(.of([one, two]))) == "start 1")
    #expect(worker.answer(.done) == "start 2")
    #expect(worker.answer(.done) == "collect")
    #expect(worker.answer(.finished([two.finished(), one.finished()])) == "record [1, 2]")
    #expect(worker.answer(.recorded(.of(2))) == "claim 50")
    #expect(worker.answer(.claimed(.of([]))) == nil)
    #expect(worker.machine.failure == nil)
    #expect(worker.machine.report == WorkerReport(claimed: 2, succeeded: 2))
  }

  @Test("it claims no more than it has room for, once a round, and holds what has not run")
  func concurrency() {
    var worker = worker(one, two, concurrency: 3)
    worker.answer(.finished([one.finished()]), until: "claim")
    #expect(worker.action.map { "\($0)" }?.contains("claim(limit: 2") == true)
    let more = [ClaimedStep(3, entry: 2), ClaimedStep(4, entry: 2)]
    #expect(worker.answer(.claimed(.of(more, hasLeftSome: true)), until: "collect") == "collect")
    #expect(worker.started == [1, 2, 3, 4])
    #expect(worker.answer(.finished([])) == "collect", "there is no room")
  }

  @Test("a claim that left some is followed by another, after what has run meanwhile is recorded")
  func leftSome() {
    var worker = WorkerRehearsal()
    worker.go(until: "claim")
    #expect(worker.answer(.claimed(.of([one], hasLeftSome: true))) == "start 1")
    #expect(worker.answer(.done) == "collect")
    #expect(worker.answer(.finished([one.finished()])) == "record [1]")
    #expect(worker.answer(.recorded(.of(1))) == "claim 50")
  }

  @Test("what was claimed together is recorded together, in the order of the claims")
  func groups() {
    let (three, four) = (ClaimedStep(3, entry: 2), ClaimedStep(4, entry: 2))
    var worker = worker(one, two, three, four)
    let all = [four, two, three, one].map { $0.finished() }
    #expect(worker.answer(.finished(all)) == "record [1, 2]")
    #expect(worker.answer(.recorded(.of(2))) == "record [3, 4]")
  }

  @Test(
    "after steps have ended it looks for what follows them, and for everything every ten seconds")
  func following() {
    var worker = worker(one, two, watch: true)
    worker.answer(.finished([one.finished()]))
    let open: Set = [one.step.missionID]
    #expect(
      worker.answer(.recorded(.of(1, open: open)), until: "claim") == "claim 49 following [901]")
    let follower = ClaimedStep(3, needs: [0])
    worker.answer(.claimed(.of([follower])), until: "collect")
    worker.now += 10
    #expect(worker.answer(.finished([]), until: "claim") == "claim 48")
  }

  @Test("what follows is looked for again where a claim had no room for all of it")
  func followingBeyondRoom() {
    var worker = worker(one, watch: true, concurrency: 2)
    worker.answer(.finished([one.finished()]))
    let open: Set = [one.step.missionID]
    worker.answer(.recorded(.of(1, open: open)), until: "claim")
    let followers = [ClaimedStep(2, needs: [0]), ClaimedStep(3, needs: [0])]
    worker.answer(.claimed(.of(followers)), until: "collect")
    worker.answer(.finished([followers[0].finished()]))
    #expect(worker.answer(.recorded(.of(1)), until: "claim") == "claim 1 following [901]")
  }

  @Test("halted, it takes nothing and says why")
  func halted() {
    var worker = WorkerRehearsal()
    worker.go(until: "claim")
    #expect(worker.answer(.claimed(.of([], halt: "drill"))) == nil)
    #expect(worker.machine.report.halt == "drill")
  }

  @Test("halted, a worker that watches waits however much is claimable")
  func haltedWatching() {
    var worker = WorkerRehearsal(watch: true)
    worker.go(until: "claim")
    worker.answer(.claimed(.of([], halt: "drill")), until: "look")
    let look = QueueLook(isClaimable: true, isLeaseExpired: false, rank: 0, seconds: nil)
    #expect(worker.answer(.looked(look)) == "listen 0.2")
  }

  @Test("leases that have run out are asked for each second, and never those of steps in hand")
  func recovery() {
    var worker = worker(one, two)
    worker.answer(.finished([two.finished()]))
    worker.answer(.failed(.locked))
    worker.answer(.failed(.locked), until: "collect")
    worker.now += 1
    worker.answer(.finished([]), until: "record")
    #expect(worker.answer(.failed(.locked), until: "recover") == "recover but [1, 2]")
    #expect(worker.answer(.recovered(1), until: "claim") == "claim 49 following []")
  }

  @Test("it says that it is there every five seconds")
  func presence() {
    var worker = worker(one)
    worker.now += 4.9
    worker.go(until: "collect")
    worker.now += 0.2
    #expect(worker.answer(.finished([]), until: "note") == "note 1 running, 1 claimed")
  }

  // MARK: Leases

  @Test("a lease is renewed after each third of it, under the token that the last renewal gave")
  func renewal() throws {
    var worker = worker(one)
    worker.now += 99.9
    #expect(worker.answer(.finished([]), until: "renew") == "never: renew")
    worker.now += 0.2
    #expect(worker.answer(.finished([])) == "renew [1]")
    worker.answer(.renewed(.of([one])), until: "collect")
    worker.now += 99.9
    #expect(worker.answer(.finished([]), until: "renew") == "never: renew")
    worker.now += 0.2
    #expect(worker.answer(.finished([])) == "renew [1]")
    guard case .renew(let steps)? = worker.action else { return }
    #expect(steps.map(\.token.version) == [11])
  }

  @Test("a renewal counts from when it was asked for, and a claim as well")
  func renewalFromAsking() {
    var worker = WorkerRehearsal()
    worker.go(until: "claim")
    worker.now += 60
    worker.answer(.claimed(.of([one])), until: "collect")
    worker.now += 41
    #expect(worker.answer(.finished([])) == "renew [1]")
    worker.now += 60
    worker.answer(.renewed(.of([one])), until: "collect")
    worker.now += 41
    #expect(worker.answer(.finished([])) == "renew [1]")
  }

  @Test("a lease that was not renewed, since its row is locked or lost, is tried a second later")
  func renewalMissed() {
    var worker = worker(one, two)
    worker.now += 101
    #expect(worker.answer(.finished([])) == "renew [1, 2]")
    worker.answer(.renewed(.of([two])), until: "collect")
    worker.now += 0.9
    #expect(worker.answer(.finished([]), until: "renew") == "never: renew")
    worker.now += 0.2
    #expect(worker.answer(.finished([])) == "renew [1]")
  }

  @Test(
    "a renewal that the database refuses is tried by itself; what fails alone is named and tried later"
  )
  func renewalRefused() {
    var worker = worker(one, two)
    worker.now += 101
    worker.answer(.finished([]))
    #expect(worker.answer(.failed(.poisoned))?.hasPrefix("renew") == true)
    guard case .renew(let first)? = worker.action else { return }
    #expect(first.count == 1)
    #expect(worker.answer(.failed(.poisoned)) == "pass over \(first[0].number): OPS_012")
    let other = 3 - first[0].number
    #expect(worker.answer(.done) == "renew [\(other)]")
    worker.answer(.renewed(.of([ClaimedStep(other)])), until: "collect")
    worker.now += 101
    #expect(worker.answer(.finished([]))?.hasPrefix("renew") == true)
  }

  @Test("a step that has run is not renewed, unless a lock keeps its outcome from being recorded")
  func renewalOfFinished() {
    var worker = worker(one, two)
    worker.answer(.finished([one.finished(), two.finished()]))
    #expect(worker.answer(.failed(.lostRace)) == "record [1] alone")
    #expect(worker.answer(.failed(.locked)) == "pass over 1: OPS_012")
    #expect(worker.answer(.done) == "record [2] alone")
    worker.answer(.failed(.lostRace), until: "collect")
    worker.now += 101
    // One after the other they are tried again, and refused again.
    #expect(worker.answer(.finished([])) == "record [1] alone")
    #expect(worker.answer(.failed(.locked), until: "record") == "record [2] alone")
    #expect(worker.answer(.failed(.lostRace), until: "renew") == "renew [1]")
  }

  @Test(
    "a step that was lost and claimed again is run again, and what came first is not taken for the second"
  )
  func claimedAgain() {
    var worker = worker(one, watch: true)
    let again = ClaimedStep(1, attempt: 2, entry: 2)
    worker.now += 1
    worker.answer(.finished([]), until: "recover")
    worker.answer(.recovered(1), until: "claim")
    worker.answer(.claimed(.of([again])), until: "collect")
    #expect(worker.started == [1, 1])
    worker.answer(.finished([one.finished()]))
    guard case .record(let outcomes, _)? = worker.action else {
      Issue.record("not recorded")
      return
    }
    #expect(outcomes.map(\.token) == [one.token])
    var completion = Completion()
    completion.refused = [(outcomes[0], OpsError(.claimLost, "it is another's"))]
    worker.answer(.recorded(completion), until: "collect")
    worker.answer(.finished([again.finished()]))
    guard case .record(let others, _)? = worker.action else {
      Issue.record("not recorded")
      return
    }
    #expect(others.map(\.token) == [again.token])
  }

  // MARK: Outcomes that are refused

  @Test("an outcome whose lease is another's is said and counted, and forgotten")
  func lost() {
    var worker = worker(one, two)
    worker.answer(.finished([one.finished(), two.finished()]))
    guard case .record(let outcomes, _)? = worker.action else { return }
    var completion = Completion.of(1)
    completion.refused = [(outcomes[0], OpsError(.claimLost, "it is another's"))]
    #expect(worker.ends(.recorded(completion)) == true)
    #expect(worker.said == ["step \(one.step.id): OPS_006: it is another's"])
    #expect(worker.machine.report == WorkerReport(claimed: 2, succeeded: 1, refused: 1))
  }

  @Test(
    "of a batch that the database refuses each is recorded by itself, and one poisoned outcome holds up no other"
  )
  func poisoned() {
    var worker = worker(one, two)
    worker.answer(.finished([one.finished(), two.finished()]))
    #expect(worker.answer(.failed(.poisoned)) == "record [1] alone")
    #expect(worker.answer(.failed(.poisoned)) == "pass over 1: OPS_012")
    // What it holds is refused: a failed attempt is recorded in its place, at once.
    #expect(worker.answer(.done) == "record [1] alone")
    guard case .record(let outcomes, _)? = worker.action else { return }
    guard case .failed(.refused, let error, _) = outcomes[0].result else {
      Issue.record("not as a failed attempt")
      return
    }
    #expect(error.contains("a check"))
    var completion = Completion()
    completion.failed = 1
    #expect(worker.answer(.recorded(completion)) == "record [2] alone")
    #expect(worker.ends(.recorded(.of(1))) == true)
    #expect(worker.machine.report == WorkerReport(claimed: 2, succeeded: 1, failed: 1))
  }

  @Test(
    "refused for a reason that says nothing of it, an outcome is tried later and later, at most a second"
  )
  func delays() {
    var worker = worker(one, watch: true)
    worker.answer(.finished([one.finished()]))
    worker.answer(.failed(.lostRace))
    for delay in [0.1, 0.2, 0.4, 0.8, 1, 1, 1] {
      worker.answer(.failed(.lostRace), until: "collect")
      worker.now += delay - 0.01
      #expect(worker.answer(.finished([]), until: "record") == "never: record")
      worker.now += 0.02
      #expect(worker.answer(.finished([]), until: "record") == "record [1] alone")
    }
    #expect(worker.machine.report.refused == 0)
  }

  @Test("an outcome that waits to be recorded takes no room")
  func roomWhileWaiting() {
    var worker = worker(one, concurrency: 1)
    worker.answer(.finished([one.finished()]))
    worker.answer(.failed(.locked))
    worker.answer(.failed(.locked), until: "collect")
    worker.now += 1
    worker.answer(.finished([]), until: "record")
    #expect(worker.answer(.failed(.locked), until: "recover") == "recover but [1]")
    #expect(worker.answer(.recovered(1), until: "claim") == "claim 1 following []")
  }

  @Test(
    "a worker that leaves gives an outcome up after four refusals, behind a lock when its lease has ended"
  )
  func givenUp() {
    var worker = worker(one, two)
    worker.answer(.finished([one.finished(), two.finished()]))
    worker.answer(.failed(.lostRace))
    for _ in 0..<3 {
      worker.answer(.failed(.lostRace), until: "record")
      #expect(worker.answer(.failed(.locked), until: "collect") == "collect")
      worker.now += 1
      worker.answer(.finished([]), until: "record")
    }
    #expect(worker.said == [])
    worker.answer(.failed(.lostRace), until: "record")
    #expect(
      worker.said.count == 1
        && worker.said[0].hasPrefix("step \(one.step.id): the outcome could not"))
    worker.answer(.failed(.locked), until: "collect")
    worker.now += 301
    worker.answer(.finished([]), until: "record")
    #expect(worker.ends(.failed(.locked)) == true)
    #expect(worker.said.count == 2)
    #expect(worker.machine.report == WorkerReport(claimed: 2, refused: 2))
  }

  @Test("a worker that watches tries until the lease has ended, behind a lock for longer")
  func notGivenUp() {
    var worker = worker(one, two, watch: true)
    worker.answer(.finished([one.finished(), two.finished()]))
    worker.answer(.failed(.lostRace))
    for _ in 0..<10 {
      worker.answer(.failed(.lostRace), until: "record")
      worker.answer(.failed(.locked), until: "collect")
      worker.now += 1
      worker.answer(.finished([]), until: "record")
    }
    #expect(worker.said == [])
    worker.now += 301
    worker.answer(.failed(.lostRace), until: "record")
    worker.answer(.failed(.locked), until: "collect")
    #expect(worker.said.count == 1)
    worker.now += 1
    #expect(worker.answer(.finished([]), until: "record") == "record [2] alone")
  }

  // MARK: Stopping

  @Test(
    "told to stop, it claims nothing, finishes what runs, wakes the others for what follows, and ends"
  )
  func stops() {
    var worker = worker(one, two, watch: true)
    worker.isToldToStop = true
    worker.now += 20
    for _ in 0..<10 { #expect(worker.answer(.finished([])) == "collect") }
    #expect(worker.answer(.finished([one.finished(), two.finished()])) == "record [1, 2]")
    #expect(worker.answer(.recorded(.of(2, open: [one.step.missionID]))) == "wake")
    #expect(worker.answer(.done) == nil)
    #expect(worker.machine.failure == nil)
  }

  @Test("told to stop, it goes on renewing what runs")
  func renewsWhileStopping() {
    var worker = worker(one)
    worker.isToldToStop = true
    worker.now += 101
    #expect(worker.answer(.finished([])) == "renew [1]")
  }

  @Test("told to stop while it waits, it ends")
  func stopsWaiting() {
    var worker = WorkerRehearsal(watch: true)
    #expect(worker.go(until: "listen") == "listen 0.2")
    worker.isToldToStop = true
    #expect(worker.answer(.heard(false)) == nil)
  }

  @Test("told to stop after a claim, it still starts and records what it claimed")
  func stopsAfterClaim() {
    var worker = WorkerRehearsal()
    worker.go(until: "claim")
    worker.isToldToStop = true
    #expect(worker.answer(.claimed(.of([one]))) == "start 1")
    #expect(worker.answer(.done) == "collect")
    #expect(worker.answer(.finished([one.finished()])) == "record [1]")
  }

  // MARK: The database is away

  @Test("with nothing in hand a failure ends it")
  func failsEmpty() {
    var worker = WorkerRehearsal()
    worker.go(until: "claim")
    #expect(worker.answer(.failed(.away)) == nil)
    #expect(worker.machine.failure == .away)
    #expect(worker.said == [])
  }

  @Test(
    "with steps in hand it says so, records what it can, and ends with the failure that came first")
  func failsHolding() {
    var worker = worker(one, two)
    worker.now += 1
    worker.answer(.finished([]), until: "recover")
    let failure = OpsError(.schemaMismatch, "no such table")
    #expect(worker.answer(.failed(failure), until: "pause") == "pause 0.1")
    #expect(worker.said == ["the worker records its outcomes and ends: OPS_014: no such table"])
    #expect(worker.answer(.done) == "collect")
    #expect(worker.answer(.finished([one.finished()])) == "record [1]")
    #expect(worker.answer(.failed(.away)) == "pause 0.1")
    #expect(worker.answer(.done) == "record [1]")
    #expect(worker.answer(.recorded(.of(1))) == "collect", "it claims nothing")
    #expect(worker.answer(.finished([two.finished()])) == "record [2]")
    #expect(worker.answer(.recorded(.of(1))) == nil)
    #expect(worker.machine.failure == failure)
    #expect(worker.said.count == 1)
  }

  @Test("while nothing can be recorded it gives up what others may take by now, and ends")
  func givesUpWithoutDatabase() {
    var worker = worker(one)
    worker.answer(.finished([one.finished()]))
    worker.answer(.failed(.away), until: "record")
    worker.now += 299
    #expect(worker.answer(.failed(.away), until: "record") == "record [1]")
    worker.now += 2
    #expect(worker.ends(.failed(.away)) == true)
    #expect(worker.said.count == 2)
    #expect(worker.machine.report.refused == 1)
    #expect(worker.machine.failure == .away)
  }

  @Test(
    "a worker that watches ends at once, and goes on with what it holds when it is called again")
  func outage() {
    var worker = worker(one, two, watch: true)
    worker.answer(.finished([one.finished()]))
    #expect(worker.answer(.failed(.away)) == nil)
    #expect(worker.machine.failure == .away)
    #expect(worker.said == [])
    worker.now += 8
    #expect(worker.answer(.began) == "subscribe")
    #expect(worker.answer(.done) == "record [1]")
    worker.answer(.recorded(.of(1)), until: "collect")
    #expect(worker.answer(.finished([two.finished()])) == "record [2]")
    #expect(worker.answer(.recorded(.of(1)), until: "look") == "look")
    #expect(worker.machine.failure == nil)
    #expect(worker.machine.report == WorkerReport(claimed: 2, succeeded: 2))
  }

  @Test("a database that goes away right after a claim does not keep its steps from being started")
  func outageAfterClaim() {
    var worker = WorkerRehearsal(watch: true)
    worker.go(until: "claim")
    worker.answer(.claimed(.of([one, two])), until: "find retry")
    #expect(worker.started == [1, 2])
    #expect(worker.answer(.failed(.away)) == nil)
    worker.answer(.began, until: "find retry")
    #expect(worker.answer(.retry(inSeconds: 5), until: "collect") == "collect")
  }

  @Test(
    "once it ends for another reason, or was told to stop, an outage is waited for with what it holds"
  )
  func outageWhileEnding() {
    var ending = worker(one, watch: true)
    ending.now += 1
    ending.answer(.finished([]), until: "recover")
    ending.answer(.failed(OpsError(.schemaMismatch, "no such table")), until: "collect")
    ending.answer(.finished([one.finished()]))
    #expect(ending.answer(.failed(.away)) == "pause 0.1")
    #expect(ending.answer(.done) == "record [1]")

    var stopping = worker(one, watch: true)
    stopping.isToldToStop = true
    stopping.answer(.finished([one.finished()]))
    #expect(stopping.answer(.failed(.away), until: "record") == "record [1]")
  }

  // MARK: Waiting

  @Test(
    "with nothing to do it looks, and listens in slices until the next step is due, or two seconds")
  func waits() {
    var worker = WorkerRehearsal(watch: true)
    worker.go(until: "look")
    let look = QueueLook(isClaimable: false, isLeaseExpired: false, rank: 0, seconds: 0.3)
    #expect(worker.answer(.looked(look)) == "listen 0.2")
    worker.now += 0.2
    #expect(worker.answer(.heard(false)) == "listen 0.1")
    worker.now += 0.1
    #expect(worker.answer(.heard(false), until: "look") == "look")
    worker.answer(.looked(.nothing))
    worker.now += 1.9
    #expect(worker.answer(.heard(false)) == "listen 0.1")
  }

  @Test("behind a pooler it looks four times a second")
  func waitsPooled() {
    var worker = WorkerRehearsal(watch: true)
    worker.isPooled = true
    worker.go(until: "look")
    worker.answer(.looked(.nothing))
    worker.now += 0.2
    #expect(worker.answer(.heard(false)) == "listen 0.05")
  }

  @Test(
    "woken, the first claims at once; the others look in their turn, and wait on where nothing is left"
  )
  func woken() {
    var first = WorkerRehearsal(watch: true)
    first.go(until: "listen")
    #expect(first.answer(.heard(true), until: "claim").map { $0.hasPrefix("claim") } == true)
    for (rank, pause) in [(1, "pause 0.01"), (3, "pause 0.03"), (20, "pause 0.08")] {
      var other = WorkerRehearsal(watch: true)
      other.go(until: "look")
      other.answer(
        .looked(QueueLook(isClaimable: false, isLeaseExpired: false, rank: rank, seconds: nil)))
      #expect(other.answer(.heard(true)) == pause)
      #expect(other.answer(.done, until: "look") == "look")
      #expect(other.answer(.looked(.nothing)) == "listen 0.2")
    }
  }

  @Test("while steps run it hears of work once a round, and claims then")
  func hearsWhileRunning() {
    var worker = worker(one, watch: true)
    #expect(worker.answer(.finished([])) == "listen 0.0")
    #expect(worker.answer(.heard(false)) == "collect")
    #expect(worker.answer(.finished([])) == "listen 0.0")
    #expect(worker.answer(.heard(true)) == "claim 49 following []")
  }

  @Test(
    "a look that sees steps or ended leases leads to a claim; what others hold is tried later and later"
  )
  func disappointed() {
    for look in [
      QueueLook(isClaimable: true, isLeaseExpired: false, rank: 0, seconds: nil),
      QueueLook(isClaimable: false, isLeaseExpired: true, rank: 0, seconds: nil),
    ] {
      var worker = worker(one, watch: true)
      worker.answer(.finished([one.finished()]))
      worker.answer(.recorded(.of(1)), until: "look")
      #expect(worker.answer(.looked(look)) == "recover but []")
      worker.answer(.recovered(0), until: "claim")
      for slice in ["listen 0.1", "listen 0.2", "listen 0.2"] {
        worker.answer(.claimed(.of([])), until: "look")
        #expect(worker.answer(.looked(look)) == slice)
        worker.now += 2
        worker.answer(.heard(false), until: "claim")
      }
    }
  }

  @Test("after a full look it learns when the next follower is due, and looks at all of them then")
  func nextRetry() {
    var worker = WorkerRehearsal(watch: true)
    worker.go(until: "claim")
    worker.now += 0.5
    #expect(worker.answer(.claimed(.of([])), until: "find retry") == "find retry after 0.5")
    #expect(worker.answer(.retry(inSeconds: 0.7), until: "look") == "look")
    #expect(worker.answer(.looked(.nothing), until: "listen") == "listen 0.2")
    worker.now += 0.7
    #expect(worker.answer(.heard(false), until: "claim") == "claim 50")
    #expect(worker.answer(.claimed(.of([])), until: "find retry") == "find retry after 0.0")
  }

  @Test(
    "a follower that failed is tried again when it is due, also by a worker that does not watch")
  func retryWhileRunning() {
    var worker = worker(one, two)
    worker.answer(.finished([one.finished(.failed(.exit, error: "no", result: nil))]))
    var completion = Completion()
    (completion.failed, completion.retrySeconds) = (1, 5)
    worker.answer(.recorded(completion), until: "claim")
    worker.answer(.claimed(.of([])), until: "collect")
    worker.now += 4.9
    #expect(worker.answer(.finished([]), until: "claim") == "never: claim")
    worker.now += 0.2
    #expect(worker.answer(.finished([]), until: "claim") == "claim 49")
    worker.answer(.claimed(.of([])), until: "collect")
    #expect(worker.answer(.finished([]), until: "claim") == "never: claim")
  }
}
