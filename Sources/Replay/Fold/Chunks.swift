import Log

extension RandomAccessCollection where Index == Int {
  /// Its parts of so many elements each, the last of what is left: what one statement is given at a time.
  func chunks(of count: Int) -> [SubSequence] {
    stride(from: startIndex, to: endIndex, by: count).map { start in
      self[start..<Swift.min(start + count, endIndex)]
    }
  }
}
