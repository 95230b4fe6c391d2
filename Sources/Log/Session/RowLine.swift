internal import Glibc
package import Ledger

/// Writes rows like `COPY table (its ledger columns) TO` in text format, with TimeZone UTC and DateStyle ISO.
package struct RowLineWriter<R: Row> {
  private let columns = R.columns

  package init() {}

  package func write(_ row: UnsafePointer<R>, to bytes: inout [UInt8]) {
    for column in columns {
      switch column.get(at: row) {
      case .null: bytes += CopyText.null
      case .int(let number): bytes += String(number).utf8
      case .text(let text), .json(let text): CopyText.escape(text, into: &bytes)
      case .uuid(let id): bytes += id.description.utf8
      case .time(let time): bytes += CopyText.timestamp(time).utf8
      case .ints(let numbers):
        bytes += "{\(numbers.map(String.init).joined(separator: ","))}".utf8
      }
      bytes.append(9)
    }
    bytes[bytes.count - 1] = UInt8(ascii: "\n")
  }
}

package struct RowLineError: Error, Equatable {
  package let reason: String

  package init(_ reason: String) { self.reason = reason }
}

/// Reads lines that ``RowLineWriter`` or COPY wrote.
package struct RowLineReader<R: Row> {
  private let columns = R.columns

  package init() {}

  /// - Parameter line: With or without its newline.
  package func read(_ line: UnsafeRawBufferPointer) throws(RowLineError) -> R {
    var row = R(blank: StreamID(high: 0, low: 0))
    var fields = RowFields(line)
    for column in columns {
      guard let field = fields.next() else { throw RowLineError("it lacks \(column.name)") }
      guard let value = Self.value(field, column.type), column.set(&row, value) else {
        throw RowLineError("its \(column.name) cannot be read")
      }
    }
    guard fields.next() == nil else { throw RowLineError("it has too many columns") }
    return row
  }

  private static func value(_ field: RowFields.Field, _ type: ColumnType) -> Value? {
    guard !field.isNull else { return .null }
    switch type {
    case .int: return Int32(field.plain).map(Value.int)
    case .text, .label: return field.text.map(Value.text)
    case .json: return field.text.map(Value.json)
    case .uuid: return StreamID(utf8: field.bytes).map(Value.uuid)
    case .time:
      switch field.plain {
      case "infinity": return .time(Instant(micros: .max))
      case "-infinity": return .time(Instant(micros: .min))
      default: return Instant(utf8: field.bytes).map(Value.time)
      }
    case .ints:
      guard field.plain.hasPrefix("{"), field.plain.hasSuffix("}") else { return nil }
      let parts = field.plain.dropFirst().dropLast().split(separator: ",")
      let numbers = parts.compactMap { Int32($0) }
      return numbers.count == parts.count ? .ints(numbers) : nil
    }
  }

  /// The stream of a line's row, by the line's first column.
  package static func stream(of line: UnsafeRawBufferPointer) throws(RowLineError) -> StreamID {
    var fields = RowFields(line)
    guard let key = fields.next(), !key.isNull else { throw RowLineError("it has no key") }
    let stream: StreamID? =
      switch R.name {
      case .policy: key.text.map { .policy($0) }
      case .ledger: key.text.map { .ledgerRecord($0) }
      case .agentEvent, .reaction, .proposal, .mission, .step, .run, .radar, .hold:
        StreamID(utf8: key.bytes)
      }
    guard let stream else { throw RowLineError("its key cannot be read") }
    return stream
  }
}

/// The columns of a line in COPY's text format, one after the other.
package struct RowFields {
  package struct Field {
    package let bytes: UnsafeRawBufferPointer

    package var isNull: Bool {
      bytes.count == 2 && bytes[0] == UInt8(ascii: "\\") && bytes[1] == UInt8(ascii: "N")
    }

    /// The text as it stands in the line.
    package var plain: String { String(decoding: bytes, as: UTF8.self) }

    /// The unescaped text; nil if it has an escape that COPY TO does not write.
    var text: String? {
      let backslash = UInt8(ascii: "\\")
      guard bytes.contains(backslash) else { return plain }
      var text: [UInt8] = []
      text.reserveCapacity(bytes.count)
      var rest = bytes[...]
      while let at = rest.firstIndex(of: backslash) {
        guard at + 1 < bytes.count, let byte = CopyText.unescaped(bytes[at + 1]) else { return nil }
        text += rest[..<at]
        text.append(byte)
        rest = bytes[(at + 2)...]
      }
      return String(decoding: text + rest, as: UTF8.self)
    }
  }

  /// The unread part; nil after the last column.
  private var rest: UnsafeRawBufferPointer?

  /// - Parameter line: With or without its newline.
  package init(_ line: UnsafeRawBufferPointer) {
    rest = line.last == 10 ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
  }

  mutating func next() -> Field? {
    guard let rest else { return nil }
    guard let base = rest.baseAddress, let tab = memchr(base, 9, rest.count) else {
      self.rest = nil
      return Field(bytes: rest)
    }
    let count = UnsafeRawPointer(tab) - base
    self.rest = UnsafeRawBufferPointer(rebasing: rest[(count + 1)...])
    return Field(bytes: UnsafeRawBufferPointer(rebasing: rest[..<count]))
  }

  /// The column at this position, from 0.
  package mutating func skip(to index: Int) -> Field? {
    for _ in 0..<index { _ = next() }
    return next()
  }
}
