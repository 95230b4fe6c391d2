import Glibc
import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// A database with its players, used for one seed after the other; emptied between them.
final class Lane {
  static let players = 3

  private let ledger: TestLedger
  private let admin: Connection
  private var engines: [(Engine, CutProxy)] = []
  private let directory: String
  let pairs: Pairs

  init(_ ledger: TestLedger, serverDirectory: String, pairs: Pairs) throws {
    self.ledger = ledger
    self.pairs = pairs
    admin = try Connection(url: ledger.adminURL)
    directory = "/tmp/opsledger-random.\(getpid()).\(ledger.database)"
    mkdir(directory, 0o700)
    for index in 0..<Self.players {
      let place = "\(directory)/\(index)"
      mkdir(place, 0o700)
      let proxy = try CutProxy(listen: .unix(place), server: .unix(serverDirectory))
      let target = Session.Target(
        url: "\(ledger.url)&host=\(place)&port=5432", application: "player \(index)")
      engines.append(
        (Engine(try Session(target), actor: "worker/\(index)"), proxy))
    }
    try prepare()
  }

  func end() {
    for (index, (engine, proxy)) in engines.enumerated() {
      engine.session.drop()
      proxy.stop()
      unlink("\(directory)/\(index)/.s.PGSQL.5432")
      rmdir("\(directory)/\(index)")
    }
    admin.close()
    rmdir(directory)
  }

  /// Between seeds the log is emptied, for which its guards must be off: this proof is about what is
  /// in it, others are about them.
  private func prepare() throws {
    let matrix = try JSON(parsing: Player.matrices[0])
    _ = try engines[0].0.setPolicy("reaction_matrix", to: matrix, why: "test")
    try admin.execute(
      """
      ALTER EVENT TRIGGER opsledger_frozen_ddl DISABLE;
      ALTER EVENT TRIGGER opsledger_frozen_start DISABLE;
      ALTER EVENT TRIGGER opsledger_frozen_drop DISABLE;
      CREATE TABLE public.first_policies AS SELECT * FROM public.ops_policy;
      CREATE UNLOGGED TABLE public.history (LIKE ledger.events);
      CREATE INDEX ON public.history (stream, version);
      CREATE INDEX ON public.history (entry);
      CREATE TABLE public.first_entry AS SELECT max(entry) AS entry FROM ledger.events;
      DO $$ DECLARE part regclass; BEGIN
        FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ledger.events'::regclass
        LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', part); END LOOP;
        ALTER TABLE ledger.events DISABLE TRIGGER USER;
        ALTER TABLE ledger.checkpoints DISABLE TRIGGER USER;
      END $$
      """)
  }

  private func empty() throws {
    try admin.settle()
    try admin.execute(
      """
      BEGIN; SET LOCAL session_replication_role = replica; \(TestCapture.off);
      DELETE FROM public.ops_action_runs; DELETE FROM public.ops_agent_reactions; DELETE FROM public.ops_agent_events;
      DELETE FROM public.ops_mission_steps; DELETE FROM public.ops_missions; DELETE FROM public.ops_mission_proposals;
      DELETE FROM public.ops_demand_radar; DELETE FROM public.ops_policy;
      INSERT INTO public.ops_policy SELECT * FROM public.first_policies;
      DELETE FROM ledger.events WHERE entry > (SELECT entry FROM public.first_entry);
      DELETE FROM ledger.checkpoints WHERE entry > (SELECT entry FROM public.first_entry);
      DELETE FROM ledger.tombstones; \(TestCapture.on);
      COMMIT
      """)
  }

  /// Plays a seed. Even ones play in turn, odd ones all at once.
  func play(_ seed: UInt64, commands: Int) throws {
    try empty()
    let world = World()
    let inTurn = seed.isMultiple(of: 2)
    let players = engines.enumerated().map { index, engine in
      PlayerBox(
        Player(
          engine.0, engine.1, world, clock: admin, pairs: inTurn ? pairs : nil,
          name: "worker/\(index)", seed: seed &* 1_000_003 &+ UInt64(index)))
    }
    if inTurn {
      var order = UInt64(seed)
      for _ in 0..<commands {
        order = order &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        try players[Int(order >> 33) % players.count].player.play()
      }
    } else {
      let clocks = try players.map { _ in ConnectionBox(try Connection(url: ledger.adminURL)) }
      _ = try atOnce(players.count) { index in
        let own = players[index].player.at(clocks[index].connection)
        for _ in 0..<(commands / players.count + 1) { try own.play() }
      }
      for clock in clocks { clock.connection.close() }
    }
    try admin.settle()
    let checks = Checks(connection: admin, ledger: ledger, inTurn: inTurn)
    try checks.runAtRest()
    try finish()
    try checks.runAtRest()
    try checks.run(world.promises)
  }

  /// Whatever happened: once nothing is stopped any more, the dead are tried again and every attempt
  /// succeeds, all missions do.
  private func finish() throws {
    let engine = engines[0].0
    engine.session.attemptsMax = 12
    _ = try engine.setLoop(.running, why: "end")
    _ = try engine.setPolicy("worker_policy", to: .object([:]), why: "end")
    for _ in 0..<200 {
      try admin.execute("UPDATE public.test_clock SET moved = moved + interval '400 s'")
      _ = try engine.recoverLeases()
      _ = try engine.retryDead(DeadStepFilter(limit: 1000), why: "end")
      let claim = try engine.claim(50, worker: "last")
      if claim.steps.isEmpty { break }
      let done = try engine.complete(
        claim.steps.map { StepOutcome($0, .succeeded(nil)) })
      guard done.succeeded == claim.steps.count else {
        throw TestFailure("at the end, outcomes are refused: \(done.refused)")
      }
    }
    let left = try admin.query(
      Statement(
        "SELECT id::text, status::text FROM public.ops_missions WHERE status <> 'succeeded'"))
    guard left.count == 0 else {
      let id = try left.text(0, 0)
      throw TestFailure(
        "\(left.count) missions cannot be finished, as \(id), which is \(try left.text(0, 1)): "
          + (try history(of: id)))
    }
  }

  /// What happened to a mission and its steps, in order.
  private func history(of mission: String) throws -> String {
    let rows = try admin.query(
      Statement(
        """
        SELECT e.entry || ' ' || coalesce(s.ordinal || ' ', '') || e.type || ' ' || e.data::text
        FROM ledger.events AS e LEFT JOIN public.ops_mission_steps AS s ON s.id = e.stream
        WHERE e.stream = ($1::text)::uuid OR s.mission_id = ($1::text)::uuid ORDER BY e.entry, e.index
        """), .texts(mission))
    return try (0..<rows.count).map { "\n  " + (try rows.text($0, 0)) }.joined()
  }
}

extension Connection {
  /// Waits until what others were cut off in has ended.
  func settle() throws {
    let busy = Statement(
      """
      SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND state <> 'idle' AND backend_type = 'client backend'
      """)
    try waitUntil("every other session has ended or is idle") { try query(busy).int8(0, 0) == 0 }
  }
}

/// Each is used by one thread at a time.
struct PlayerBox: @unchecked Sendable {
  let player: Player
  init(_ player: Player) { self.player = player }
}

struct ConnectionBox: @unchecked Sendable {
  let connection: Connection
  init(_ connection: Connection) { self.connection = connection }
}

extension Player {
  /// The same player with a clock of its own.
  func at(_ clock: Connection) -> Player {
    let player = Player(
      engine, proxy, world, clock: clock, pairs: pairs, name: name, seed: 0)
    player.generator = generator
    return player
  }
}
