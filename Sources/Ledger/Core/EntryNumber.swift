/// The numbers of entries: where they end, and how the log is divided by them.
public enum EntryNumber {
  /// The last number that an entry can have; `ledger.entry_sequence` ends there too.
  ///
  /// `ledger.allocate_entry` shows a number in the low 48 bits of an advisory key, and many readers of JSON keep whole
  /// numbers only up to 2^53. This is a whole partition's end below both.
  public static let last: Int64 = 199_999_999_999_999

  /// How many numbers one partition of the log holds (`ledger.add_partitions`).
  public static let span: Int64 = 1_000_000

  /// The numbers of the partition that holds this one. Of a number beyond ``last``, the partition after the last one.
  public static func partition(of entry: Int64) -> ClosedRange<Int64> {
    let low = min(max(entry, 0), last + 1) / span * span
    return low...(low + span - 1)
  }

  /// How far numbers jump where a database is settled: numbers that were drawn elsewhere, and that nobody has seen,
  /// are not drawn again.
  static let jump: Int64 = 1 << 20

  /// The number above which a database goes on when it is settled.
  ///
  /// - Parameters:
  ///   - known: The greatest number that is drawn, sealed or recorded here, or that a store proves.
  ///   - claimed: The greatest number in the names of a store's files. A name is no proof: it can use up half of
  ///     the numbers that are left, and no more.
  /// - Throws: `OPS_014` where no number is left.
  public static func jumped(over known: Int64, claimed: Int64 = 0) throws(OpsError) -> Int64 {
    // What records the move wants a number too.
    guard known < last - 1 else {
      throw OpsError(
        .schemaMismatch, "entry numbers end at \(last), and entry \(known) is reached",
        hint: "keep the store, and begin a new ledger in an empty database with `opsledger init`")
    }
    let wanted = max(known, min(claimed, last)) + jump
    return min(wanted, known + max(1, (last - known) / 2))
  }
}
