/// The string literals of Swift source, as far as our own goes: comments are none, and what is interpolated is code.
public struct SwiftLiterals {
  public struct Literal {
    public var line: Int
    /// UTF-8. A NUL stands for what is interpolated, and for an escape.
    public var text: [UInt8] = []
  }

  private enum Context {
    /// Of the file or of an interpolation, with so many open parentheses.
    case code(parentheses: Int)
    /// The literal of this number in ``found``.
    case string(Int, quotes: Int, hashes: Int)
  }

  private let bytes: UnsafeBufferPointer<UInt8>
  private var at = 0
  private var line = 1
  private var stack: [Context] = []
  private var context = Context.code(parentheses: 0)
  private var found: [Literal] = []

  public static func all(in source: String) -> [Literal] {
    // An end that nothing has to look beyond.
    let bytes = Array(source.utf8) + [0, 0, 0, 0]
    return bytes.withUnsafeBufferPointer { bytes in
      var reader = SwiftLiterals(bytes: bytes)
      while reader.at < bytes.count - 4 {
        switch reader.context {
        case .code(let parentheses): reader.code(parentheses)
        case .string(let number, let quotes, let hashes): reader.string(number, quotes, hashes)
        }
      }
      return reader.found
    }
  }

  private init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  /// Passes over what is none of these. Byte by byte through the members would take minutes.
  private mutating func skip(to stops: StaticString) -> Range<Int> {
    let (bytes, start) = (bytes, at)
    var end = start
    scan: while end < bytes.count - 4 {
      for stop in 0..<stops.utf8CodeUnitCount where bytes[end] == stops.utf8Start[stop] {
        break scan
      }
      end += 1
    }
    at = end
    return start..<end
  }

  /// How many of these bytes follow one another.
  private func run(_ byte: Unicode.Scalar, from start: Int) -> Int {
    var end = start
    while end < bytes.count, bytes[end] == UInt8(ascii: byte) { end += 1 }
    return end - start
  }

  private mutating func code(_ parentheses: Int) {
    _ = skip(to: "/#\"()\n")
    switch bytes[at] {
    case UInt8(ascii: "/") where bytes[at + 1] == UInt8(ascii: "/"):
      while bytes[at] != UInt8(ascii: "\n"), bytes[at] != 0 { at += 1 }
      return
    case UInt8(ascii: "#"), UInt8(ascii: "\""):
      let hashes = run("#", from: at)
      let quotes = run("\"", from: at + hashes)
      at += hashes
      guard quotes > 0 else { return }
      stack.append(context)
      context = .string(found.count, quotes: quotes > 2 ? 3 : 1, hashes: hashes)
      found.append(Literal(line: line))
      at += quotes > 2 ? 3 : 1
      return
    case UInt8(ascii: "("): context = .code(parentheses: parentheses + 1)
    case UInt8(ascii: ")") where parentheses == 1 && !stack.isEmpty: context = stack.removeLast()
    case UInt8(ascii: ")"): context = .code(parentheses: parentheses - 1)
    case UInt8(ascii: "\n"): line += 1
    default: break
    }
    at += 1
  }

  private mutating func string(_ number: Int, _ quotes: Int, _ hashes: Int) {
    found[number].text += bytes[skip(to: "\\\"\n")]
    let byte = bytes[at]
    if byte == UInt8(ascii: "\\"), run("#", from: at + 1) >= hashes {
      at += 1 + hashes
      found[number].text.append(0)
      if bytes[at] == UInt8(ascii: "(") {
        stack.append(context)
        context = .code(parentheses: 1)
      }
      at += 1
    } else if byte == UInt8(ascii: "\""), run("\"", from: at) >= quotes,
      run("#", from: at + quotes) >= hashes
    {
      at += quotes + hashes
      context = stack.removeLast()
    } else {
      if byte == UInt8(ascii: "\n") { line += 1 }
      found[number].text.append(byte)
      at += 1
    }
  }
}
