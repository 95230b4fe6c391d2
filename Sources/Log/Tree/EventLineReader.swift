private import Crypto
private import Glibc
private import Ledger

/// Reads lines of `COPY ledger.events TO` in text format, all thirteen columns in the table's order, as a
/// session with TimeZone UTC, DateStyle ISO and bytea_output hex gives them. Anything else is refused, also
/// where COPY would read it: an event has one spelling.
///
/// Allocates nothing for a line. Owned by one thread at a time.
///
/// - Source: PostgreSQL documentation, COPY, "Text Format".
public final class EventLineReader {
  // Unchecked: nothing here calls back into us, and this is the hot path of whatever reads a store.
  /// What had to be unescaped, and salts.
  @exclusivity(unchecked) private var spare = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 4096, alignment: 16)
  @exclusivity(unchecked) private var spareUsed = 0
  /// The last line's date: most lines have the same.
  @exclusivity(unchecked) private var date: (UInt64, UInt16) = (0, 0)
  @exclusivity(unchecked) private var dateMicros: Int64 = 0

  public init() {}

  deinit { spare.deallocate() }

  /// - Parameter line: With or without its newline.
  public func read(_ line: UnsafeRawBufferPointer) throws(EventLineError) -> EventLine {
    var rest = Fields(line)
    reserve(line.count)
    let entry = try Self.integer(rest.next("entry"), "entry", 1...Int64.max)
    let index = try Self.integer(rest.next("index"), "index", 0...Int64(Int32.max))
    let stream = try Self.uuid(rest.next("stream"), "stream")
    let version = try Self.integer(rest.next("version"), "version", 1...Int64(Int32.max))
    let type = try text(rest.next("type"), "type")
    let recordedAt = try time(rest.next("recorded_at"))
    let actor = try text(rest.next("actor"), "actor")
    let cause = try rest.nextIfPresent("cause")
    let command = try rest.nextIfPresent("command")
    let data = try text(rest.next("data"), "data")
    let content = try rest.nextIfPresent("content")
    let salt = try rest.nextIfPresent("salt")
    let commitment = try rest.nextIfPresent("commitment")
    guard rest.isOver else { throw EventLineError(nil, "the line has more than 13 columns") }
    let event = EventLine(
      entry: entry, index: Int32(truncatingIfNeeded: index), stream: stream,
      version: Int32(truncatingIfNeeded: version), type: type, recordedAt: recordedAt,
      actor: actor, cause: try cause.map(Self.cause), command: try command.map(Self.command),
      data: data, content: try content.map(self.content), salt: try salt.map(self.salt),
      commitment: try commitment.map(self.commitment))
    // The table's constraint content_is_salted_or_erased.
    guard
      event.content == nil
        ? event.salt == nil && event.commitment == nil
        : (event.salt == nil) == (event.commitment != nil)
    else { throw EventLineError("content", "is neither salted nor erased") }
    return event
  }

  // MARK: Columns

  private static func cause(_ field: Field) throws(EventLineError) -> Int64 {
    try integer(field, "cause", Int64.min...Int64.max)
  }

  private static func command(_ field: Field) throws(EventLineError) -> StreamID {
    try uuid(field, "command")
  }

  private func content(_ field: Field) throws(EventLineError) -> UnsafeRawBufferPointer {
    try text(field, "content")
  }

  private func salt(_ field: Field) throws(EventLineError) -> UnsafeRawBufferPointer {
    try bytes(field, "salt", count: 16)
  }

  private func commitment(_ field: Field) throws(EventLineError) -> Digest {
    guard let digest = Digest(try bytes(field, "commitment", count: 32)) else {
      throw EventLineError("commitment", "is not 32 bytes")
    }
    return digest
  }

  private static func integer(
    _ field: Field, _ column: String, _ range: ClosedRange<Int64>
  ) throws(EventLineError) -> Int64 {
    let isNegative = field.first == UInt8(ascii: "-")
    let digits = isNegative ? Field(rebasing: field.dropFirst()) : field
    var value: Int64 = 0
    var overflows = digits.isEmpty || digits.count > 1 && digits[0] == UInt8(ascii: "0")
    for byte in digits {
      let digit = byte &- UInt8(ascii: "0")
      guard digit < 10 else { throw EventLineError(column, "is not an integer") }
      let (product, large) = value.multipliedReportingOverflow(by: 10)
      // Downwards, where there is one number more.
      let (sum, larger) = product.subtractingReportingOverflow(Int64(digit))
      overflows = overflows || large || larger
      value = sum
    }
    if !isNegative { value = 0 &- value }
    guard !overflows, (value < 0) == isNegative, range.contains(value) else {
      throw EventLineError(column, "is out of range")
    }
    return value
  }

  private static func uuid(_ field: Field, _ column: String) throws(EventLineError) -> StreamID {
    guard let id = StreamID(utf8: field) else { throw EventLineError(column, "is not a UUID") }
    return id
  }

  /// `2026-11-24 18:46:22.123456+00`, the fraction without zeros at its end.
  private func time(_ field: Field) throws(EventLineError) -> Instant {
    func refuse() -> EventLineError {
      EventLineError("recorded_at", "is not a time as DateStyle ISO and TimeZone UTC give it")
    }
    guard (22...29).contains(field.count), field[10] == UInt8(ascii: " "),
      field[13] == UInt8(ascii: ":"), field[16] == UInt8(ascii: ":"),
      field[field.count - 3] == UInt8(ascii: "+"), field[field.count - 2] == UInt8(ascii: "0"),
      field[field.count - 1] == UInt8(ascii: "0")
    else { throw refuse() }
    let date = (
      field.loadUnaligned(as: UInt64.self), field.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
    )
    if date != self.date {
      guard let day = Instant(utf8: Field(rebasing: field[..<10])) else { throw refuse() }
      (self.date, dateMicros) = (date, day.micros)
    }
    var isDigits = true
    func digits(_ start: Int, _ count: Int) -> Int64 {
      var value: Int64 = 0
      for at in start..<(start + count) {
        let digit = field[at] &- UInt8(ascii: "0")
        isDigits = isDigits && digit < 10
        value = value &* 10 &+ Int64(digit)
      }
      return value
    }
    let (hour, minute, second) = (digits(11, 2), digits(14, 2), digits(17, 2))
    var fraction: Int64 = 0
    if field.count > 22 {
      let count = field.count - 23
      guard field[19] == UInt8(ascii: "."), count > 0,
        field[field.count - 4] != UInt8(ascii: "0")
      else { throw refuse() }
      fraction = digits(20, count)
      for _ in count..<6 { fraction *= 10 }
    }
    guard isDigits, hour < 24, minute < 60, second < 60 else { throw refuse() }
    let seconds = hour * 3600 + minute * 60 + second
    return Instant(micros: dateMicros + seconds * 1_000_000 + fraction)
  }

  /// `\\x` and two lower-case digits a byte.
  private func bytes(
    _ field: Field, _ column: String, count: Int
  ) throws(EventLineError) -> UnsafeRawBufferPointer {
    guard field.count == 3 + 2 * count, field[0] == UInt8(ascii: "\\"),
      field[1] == UInt8(ascii: "\\"), field[2] == UInt8(ascii: "x")
    else { throw EventLineError(column, "is not \(count) bytes in hex") }
    var isHex = true
    func half(_ byte: UInt8) -> UInt8 {
      let (digit, letter) = (byte &- UInt8(ascii: "0"), byte &- UInt8(ascii: "a"))
      isHex = isHex && (digit < 10 || letter < 6)
      return digit < 10 ? digit : letter &+ 10
    }
    let start = spareUsed
    for at in 0..<count {
      spare[start + at] = half(field[3 + 2 * at]) << 4 | half(field[4 + 2 * at])
    }
    guard isHex else { throw EventLineError(column, "is not \(count) bytes in hex") }
    spareUsed += count
    return UnsafeRawBufferPointer(rebasing: spare[start..<spareUsed])
  }

  /// The text of a field: where it lies, or unescaped.
  private func text(
    _ field: Field, _ column: String
  ) throws(EventLineError) -> UnsafeRawBufferPointer {
    guard let base = field.baseAddress, let start = spare.baseAddress else { return field }
    guard let first = memchr(base, Int32(UInt8(ascii: "\\")), field.count) else { return field }
    var (from, next) = (base, UnsafeRawPointer(first))
    let end = base + field.count
    let to = spareUsed
    while true {
      memcpy(start + spareUsed, from, next - from)
      spareUsed += next - from
      if next == end { break }
      guard next + 1 < end,
        let byte = CopyText.unescaped(next.load(fromByteOffset: 1, as: UInt8.self))
      else { throw EventLineError(column, "has an escape that COPY TO does not write") }
      spare[spareUsed] = byte
      spareUsed += 1
      from = next + 2
      next = memchr(from, Int32(UInt8(ascii: "\\")), end - from).map { UnsafeRawPointer($0) } ?? end
    }
    return UnsafeRawBufferPointer(rebasing: spare[to..<spareUsed])
  }

  /// All that a line needs at once, so that nothing moves while it is read: no field grows.
  private func reserve(_ count: Int) {
    spareUsed = 0
    if spare.count >= count { return }
    spare.deallocate()
    spare = .allocate(byteCount: count * 2, alignment: 16)
  }
}

private typealias Field = UnsafeRawBufferPointer

/// The columns of a line, one after the other.
private struct Fields {
  /// What is not read yet; nil after the last column.
  private var rest: Field?

  init(_ line: UnsafeRawBufferPointer) {
    let hasNewline = line.last == UInt8(ascii: "\n")
    rest = hasNewline ? Field(rebasing: line.dropLast()) : line
  }

  var isOver: Bool { rest == nil }

  /// The next column; `\N` is none.
  mutating func nextIfPresent(_ column: String) throws(EventLineError) -> Field? {
    guard let rest else { throw EventLineError(column, "is missing") }
    let tab = rest.baseAddress.flatMap { base in
      memchr(base, 9, rest.count).map { UnsafeRawPointer($0) - base }
    }
    let field = tab.map { Field(rebasing: rest[..<$0]) } ?? rest
    self.rest = tab.map { Field(rebasing: rest[($0 + 1)...]) }
    let isNull =
      field.count == 2 && field[0] == UInt8(ascii: "\\") && field[1] == UInt8(ascii: "N")
    return isNull ? nil : field
  }

  mutating func next(_ column: String) throws(EventLineError) -> Field {
    guard let field = try nextIfPresent(column) else { throw EventLineError(column, "is null") }
    return field
  }
}
