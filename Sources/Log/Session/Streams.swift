import Crypto
public import Ledger

extension StreamID {
  /// The stream of a policy: the UUIDv5 of `policy:<key>`.
  public static func policy(_ key: String) -> StreamID { named("policy:" + key) }

  /// The stream of the ledger's own row: the UUIDv5 of `ledger:main`.
  public static let ledger = ledgerRecord("main")

  static func ledgerRecord(_ key: String) -> StreamID { named("ledger:" + key) }

  /// The id of a command that has an idempotency key: the UUIDv5 of `key:<key>`.
  static func outsideKey(_ key: StreamID) -> StreamID { named("key:\(key)") }

  /// Whether a command's id was made from an idempotency key.
  package var isOutsideKey: Bool { high >> 12 & 0xF == 5 }

  private static func named(_ name: String) -> StreamID {
    let digest = sha1(StreamID.namespace.bytes + Array(name.utf8))
    // SHA-1 always gives twenty bytes.
    return StreamID(version5Digest: digest) ?? StreamID(high: 0, low: 0)
  }
}

extension IDSource {
  /// Seeded by the machine's random number generator.
  public static func random() -> IDSource {
    IDSource(seed: (UInt64.random(in: 0...UInt64.max), UInt64.random(in: 0...UInt64.max)))
  }
}

extension Row {
  /// The SQL expression for the stream of a row of this table.
  package static var streamSQL: String {
    switch name {
    case .policy: "ledger.uuid_v5('\(StreamID.namespace)'::uuid, 'policy:' || key)"
    case .ledger: "ledger.uuid_v5('\(StreamID.namespace)'::uuid, 'ledger:' || key)"
    case .agentEvent, .reaction, .proposal, .mission, .step, .run, .radar, .hold: "id"
    }
  }

  package static func stream(of row: Self) -> StreamID? { stream(ofKey: columns[0].get(row)) }

  /// The stream of the row with this primary key.
  package static func stream(ofKey key: Value) -> StreamID? {
    switch (name, key) {
    case (.policy, .text(let key)): .policy(key)
    case (.ledger, .text(let key)): .ledgerRecord(key)
    case (_, .uuid(let id)): id
    default: nil
    }
  }
}
