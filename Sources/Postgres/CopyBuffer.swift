/// The bytes of COPY rows. It is raw memory, since rebuild writes millions of rows.
///
/// Each value has its length, an int32, before it. The length -1 is NULL.
@usableFromInline
struct CopyBuffer {
  @usableFromInline var base: UnsafeMutableRawPointer
  @usableFromInline var count = 0
  @usableFromInline var capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    base = .allocate(byteCount: capacity, alignment: 16)
  }

  /// The owner must call this once.
  func free() { base.deallocate() }

  @inlinable var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base, count: count)
  }

  @inlinable mutating func reserve(_ more: Int) {
    if more > capacity - count { grow(more) }
  }

  @usableFromInline @inline(never)
  mutating func grow(_ more: Int) {
    let larger = max(capacity * 2, count + more)
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    moved.copyMemory(from: base, byteCount: count)
    base.deallocate()
    base = moved
    capacity = larger
  }

  /// Requires a `reserve` before.
  @inlinable mutating func store<Value: FixedWidthInteger>(_ value: Value) {
    (base + count).storeBytes(of: value.bigEndian, as: Value.self)
    count &+= MemoryLayout<Value>.size
  }

  @inlinable mutating func put<Value: FixedWidthInteger>(_ value: Value) {
    reserve(MemoryLayout<Value>.size)
    store(value)
  }

  @inlinable mutating func put(_ raw: UnsafeRawBufferPointer) {
    guard let start = raw.baseAddress else { return }
    reserve(raw.count)
    (base + count).copyMemory(from: start, byteCount: raw.count)
    count &+= raw.count
  }

  @inlinable mutating func field<Value: FixedWidthInteger>(_ value: Value) {
    reserve(20)
    store(Int32(MemoryLayout<Value>.size))
    store(value)
  }

  @inlinable mutating func field(uuid high: UInt64, _ low: UInt64) {
    reserve(20)
    store(Int32(16))
    store(high)
    store(low)
  }

  @inlinable mutating func field(raw: UnsafeRawBufferPointer) {
    reserve(raw.count &+ 4)
    store(Int32(truncatingIfNeeded: raw.count))
    put(raw)
  }

  @inlinable mutating func field(text: String) {
    var text = text
    text.withUTF8 { field(raw: UnsafeRawBufferPointer($0)) }
  }

  @inlinable mutating func field(jsonb text: String) {
    var text = text
    text.withUTF8 { utf8 in
      reserve(utf8.count &+ 5)
      store(Int32(truncatingIfNeeded: utf8.count &+ 1))
      store(UInt8(1))
      put(UnsafeRawBufferPointer(utf8))
    }
  }
}
