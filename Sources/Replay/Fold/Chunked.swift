/// A list that grows without moving its elements. An array that doubles touches twice the memory, and page faults were a
/// tenth of a fold's time.
struct Chunked<Element>: RandomAccessCollection {
  private static var shift: Int { 9 }
  private static var mask: Int { (1 << shift) - 1 }

  private var chunks: [[Element]] = []
  private(set) var count = 0

  var startIndex: Int { 0 }
  var endIndex: Int { count }

  subscript(index: Int) -> Element {
    _read { yield chunks[index >> Self.shift][index & Self.mask] }
    _modify { yield &chunks[index >> Self.shift][index & Self.mask] }
  }

  /// Passes each element by its address, without a copy.
  func withEach<E: Error>(_ body: (UnsafePointer<Element>) throws(E) -> Void) throws(E) {
    for chunk in chunks {
      try chunk.withUnsafeBufferPointer { (chunk) throws(E) in
        guard let base = chunk.baseAddress else { return }
        for index in chunk.indices { try body(base + index) }
      }
    }
  }

  mutating func append(_ element: Element) {
    if count & Self.mask == 0 {
      chunks.append([])
      chunks[count >> Self.shift].reserveCapacity(1 << Self.shift)
    }
    chunks[count >> Self.shift].append(element)
    count += 1
  }
}
