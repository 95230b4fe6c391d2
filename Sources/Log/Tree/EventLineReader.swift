private import Crypto
private import Glibc
private import Ledger

/// Reads lines of `COPY ledger.events TO` in text format, with all thirteen columns in the table's order, as a session
/// with TimeZone UTC, DateStyle ISO and bytea_output hex writes them. It refuses any other line, even if COPY would
/// read it: an event has one spelling.
///
/// Allocates nothing for a line. One thread owns it at a time.
///
/// - Source: PostgreSQL documentation, COPY, "Text Format".
public final class EventLineReader {
  // Unchecked exclusivity: nothing here calls back, and every reader of a store spends most of its time here.
  /// Unescaped texts, salts and commitments.
  @exclusivity(unchecked) private var spare = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 4096, alignment: 16)
  @exclusivity(unchecked) private var spareUsed = 0
  /// The last line's date, which most following lines share.
  @exclusivity(unchecked) private var date: (UInt64, UInt16) = (0, 0)
  @exclusivity(unchecked) private var dateMicros: Int64 = 0

  public init() {}

  deinit { spare.deallocate() }

  /// - Parameter line: With or without its newline.
  public func read(_ line: UnsafeRawBufferPointer) throws(EventLineError) -> EventLine {
    var rest = RowFields(line)
    reserve(line.count)
    let entry = try Self.integer(rest.next("entry"), "entry", 1...Int64.max)
    let index = try Self.integer(rest.next("index"), "index", 0...Int64(Int32.max))
    let stream = try Self.uuid(rest.next("stream"), "stream")
    let version = try Self.integer(rest.next("version"), "version", 1...Int64(Int32.max))
    let type = try text(rest.next("type"), "type")
    let recordedAt = try time(rest.next("recorded_at"))
    let actor = try text(rest.next("actor"), "actor")
    let cause = try rest.nextIfPresent("cause").map { (field) throws(EventLineError) in
      try Self.integer(field, "cause", Int64.min...Int64.max)
    }
    let command = try rest.nextIfPresent("command").map { (field) throws(EventLineError) in
      try Self.uuid(field, "command")
    }
    let data = try text(rest.next("data"), "data")
    let content = try rest.nextIfPresent("content").map { (field) throws(EventLineError) in
      try text(field, "content")
    }
    let salt = try rest.nextIfPresent("salt").map { (field) throws(EventLineError) in
      try bytes(field, "salt", count: 16)
    }
    let commitment = try rest.nextIfPresent("commitment").map { (field) throws(EventLineError) in
      try bytes(field, "commitment", count: 32)
    }
    guard rest.next() == nil else {
      throw EventLineError(nil, "the line has more than 13 columns")
    }
    let event = EventLine(
      entry: entry, index: Int32(truncatingIfNeeded: index), stream: stream,
      version: Int32(truncatingIfNeeded: version), type: type, recordedAt: recordedAt,
      actor: actor, cause: cause, command: command, data: data, content: content, salt: salt,
      commitment: commitment.flatMap { Digest($0) })
    // The table's constraint content_is_salted_or_erased.
    guard
      event.content == nil
        ? event.salt == nil && event.commitment == nil
        : (event.salt == nil) == (event.commitment != nil)
    else { throw EventLineError("content", "is neither salted nor erased") }
    return event
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
      // Counts down, because there is one more negative number.
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

  /// `2026-11-24 18:46:22.123456+00`; the fraction has no zeros at its end.
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

  /// `\\x`, and two lower-case digits for each byte.
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

  /// The text of a field: the field itself, or an unescaped copy if it has escapes.
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

  /// Reserves memory for a whole line, so that nothing moves while the line is read. Unescaping makes no field longer.
  private func reserve(_ count: Int) {
    spareUsed = 0
    if spare.count >= count { return }
    spare.deallocate()
    spare = .allocate(byteCount: count * 2, alignment: 16)
  }
}

private typealias Field = UnsafeRawBufferPointer

extension RowFields {
  /// The bytes of the next column; nil for `\N`.
  fileprivate mutating func nextIfPresent(
    _ column: String
  ) throws(EventLineError) -> UnsafeRawBufferPointer? {
    guard let field = next() else { throw EventLineError(column, "is missing") }
    return field.isNull ? nil : field.bytes
  }

  fileprivate mutating func next(
    _ column: String
  ) throws(EventLineError) -> UnsafeRawBufferPointer {
    guard let bytes = try nextIfPresent(column) else { throw EventLineError(column, "is null") }
    return bytes
  }
}
