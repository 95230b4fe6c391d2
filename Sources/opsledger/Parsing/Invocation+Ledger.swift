import Crypto
import Host
import JSON
import Ledger
import Log
import OpsLoop
import Postgres

extension Invocation {
  /// The ledger that this command connects to.
  func target(
    as login: PrivatePostgres.Login = .engine, creating: Bool = false
  ) throws(OpsError) -> Session.Target {
    let database = try database(as: login, creating: creating)
    var target = Session.Target(
      url: database.url, application: "opsledger \(command.name)",
      connectTimeoutMillis: database.connectTimeoutMillis)
    if !(try stores().isEmpty) { target.archivedLog = try storedLog() }
    target.waits = WaitWatch(target) { Output.messages.line(Terminal.printable($0)) }
    return target
  }

  /// A session with a ledger that this release can use.
  ///
  /// - Parameter isCourteous: Whether long reads rest while others record.
  func session(isCourteous: Bool = false) throws(OpsError) -> Session {
    do throws(OpsError) { return try ownSession(isCourteous) } catch {
      // Somebody who has only run the demo means the demo's ledger.
      guard error.code == .schemaMismatch, try turnToDemo() else { throw error }
      return try ownSession(isCourteous)
    }
  }

  private func ownSession(_ isCourteous: Bool) throws(OpsError) -> Session {
    let target = try target()
    let session = try Session(isCourteous ? target.courteous() : target)
    session.tell = { self.note($0) }
    try session.requireLedger()
    return session
  }

  /// - Parameter actor: The part of the loop that acts; nil for the person at the command line.
  func engine(_ actor: String? = nil) throws(OpsError) -> Engine {
    let name = try self.actor(actor)
    let engine = Engine(try session(), actor: name, settings: try loopSettings())
    engine.request = try request(by: name)
    return engine
  }

  /// The runbook's variables.
  func loopSettings() throws(OpsError) -> LoopSettings {
    var settings = LoopSettings()
    settings.eventBatch = try environment.integer(.eventBatchSize, in: 1...10_000)
    settings.reactionBatch = try environment.integer(.reactionBatchSize, in: 1...10_000)
    settings.leaseSeconds = 60 * Double(try environment.integer(.stepLeaseMinutes, in: 1...10_080))
    settings.attemptsMax = Int32(try environment.integer(.workerMaxRetries, in: 1...1000))
    settings.staleSeconds = 60 * Double(try environment.integer(.staleStepMinutes, in: 1...10_080))
    return settings
  }

  /// An argument that is an id.
  func id(_ index: Int, of thing: String) throws(OpsError) -> StreamID {
    try Self.id(argument(index), of: thing)
  }

  /// An option that is an id; nil where it was not given.
  func id(option name: String, of thing: String) throws(OpsError) -> StreamID? {
    guard let text = text(name) else { return nil }
    return try Self.id(text, of: thing)
  }

  private static func id(_ text: String, of thing: String) throws(OpsError) -> StreamID {
    guard let id = StreamID(text) else {
      let shows = thing == "row" ? "log tail" : "\(thing) list"
      throw .badInput(
        "\(text) is not the id of a \(thing)",
        hint: "an id is a UUID; `opsledger \(shows)` shows them")
    }
    return id
  }

  /// The idempotency key with the request; nil without `--key`.
  private func request(by actor: String) throws(OpsError) -> IdempotencyKey? {
    guard command.options.contains(where: { $0.name == Command.Option.key.name }),
      let text = text("key")
    else { return nil }
    guard let key = StreamID(text) else {
      throw .badInput(
        "--key needs a UUID, not \(text)", hint: "make a new one for each new request")
    }
    return IdempotencyKey(key, actor: actor, request: SHA256.hash(asked(by: actor).text))
  }

  /// An option that is one of an enum's labels; nil where it was not given.
  func label<Label: RawRepresentable<String> & CaseIterable>(
    _ name: String, as type: Label.Type
  ) throws(OpsError) -> Label? {
    guard let text = text(name) else { return nil }
    guard let label = Label(rawValue: text) else {
      let known = Label.allCases.map(\.rawValue).joined(separator: ", ")
      throw .badInput("--\(name) needs one of \(known), not \(text)")
    }
    return label
  }

  /// An option that is a text for people: a reason, a thought.
  func prose(_ name: String) throws(OpsError) -> String? {
    guard let text = text(name) else { return nil }
    guard text.utf8.count <= 10_000 else {
      throw .badInput("--\(name) takes at most 10000 bytes, not \(text.utf8.count)")
    }
    guard text.unicodeScalars.contains(where: { !$0.isBlank }) else {
      throw .badInput(
        "--\(name) is blank", hint: "write a reason that people can read: history keeps it")
    }
    return text
  }

  /// `--limit`, 50 unless it is given.
  func limit() throws(OpsError) -> Int { try integer("limit", in: 1...1_000_000) ?? 50 }
}

extension Unicode.Scalar {
  /// Whether it is invisible.
  fileprivate var isBlank: Bool {
    switch properties.generalCategory {
    case .control, .format, .spaceSeparator, .lineSeparator, .paragraphSeparator, .nonspacingMark,
      .surrogate, .unassigned:
      true
    // Braille's blank, and Hangul's fillers.
    default: [0x2800, 0x115F, 0x1160, 0x3164, 0xFFA0].contains(value)
    }
  }
}

extension Command.Option {
  static let key = value(
    "key", "UUID",
    "idempotency key: the same request again gets the same answer, and records nothing")
  static let limit = value("limit", "N", "at most N, the newest first (50)")
  static let why = value("why", "W", "the reason, which history keeps", isRequired: true)
  static let whyOptional = value("why", "W", "the reason, which history keeps")
  /// For a command with `--dry-run`.
  static let whyUnlessDry = Command.Option(
    name: "why", value: "W", help: "the reason, which history keeps; not needed with --dry-run",
    isRequired: true, requiredUnless: "dry-run")
}
