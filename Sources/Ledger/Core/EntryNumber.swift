/// The numbers of entries.
public enum EntryNumber {
  /// The last number that an entry can have; `ledger.entry_sequence` ends there too.
  ///
  /// `ledger.allocate_entry` puts a number into the low 48 bits of an advisory key, and many readers of JSON keep whole numbers
  /// only up to 2^53. This is the end of a partition below both.
  public static let last: Int64 = 199_999_999_999_999

  /// The count of numbers in one partition of the log (`ledger.add_partitions`).
  public static let span: Int64 = 1_000_000

  /// The numbers of the partition of an entry. For a number above ``last``, this is the partition after the last one.
  public static func partition(of entry: Int64) -> ClosedRange<Int64> {
    let low = min(max(entry, 0), last + 1) / span * span
    return low...(low + span - 1)
  }

  /// The count of numbers that are skipped when a stale copy is resolved. Another database may have allocated some of
  /// them, and nobody here knows which.
  static let jump: Int64 = 1 << 20

  /// The number after which a database continues when a stale copy is resolved.
  ///
  /// - Parameters:
  ///   - known: The greatest number that is allocated, sealed or recorded here, or that a store proves.
  ///   - claimed: The greatest number in the names of a store's files. A name is not a proof, so it can use up at most
  ///     a half of the numbers that are left.
  /// - Throws: `OPS_014` if no number is left.
  public static func jumped(over known: Int64, claimed: Int64 = 0) throws(OpsError) -> Int64 {
    // The event that records the move needs a number too.
    guard known < last - 1 else {
      throw OpsError(
        .schemaMismatch, "the last entry number is \(last), and the ledger has reached \(known)",
        hint: "keep the store, and begin a new ledger in an empty database with `opsledger init`")
    }
    let wanted = max(known, min(claimed, last)) + jump
    return min(wanted, known + max(1, (last - known) / 2))
  }
}
