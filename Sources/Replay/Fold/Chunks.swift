import Log

extension RandomAccessCollection where Index == Int {
  /// Parts of `count` elements each, for one statement each. The last part may have fewer.
  func chunks(of count: Int) -> [SubSequence] {
    stride(from: startIndex, to: endIndex, by: count).map { start in
      self[start..<Swift.min(start + count, endIndex)]
    }
  }
}
