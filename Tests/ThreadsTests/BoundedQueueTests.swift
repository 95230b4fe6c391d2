import Synchronization
import TestSupport
import Testing
import Threads

@Suite("A bounded queue")
struct BoundedQueueTests {
  @Test("gives in order what was put, and never holds more than its capacity", arguments: [1, 3])
  func order(capacity: Int) throws {
    let queue = BoundedQueue<Int>(capacity: capacity)
    let put = Atomic<Int>(0)
    runOnThread {
      for number in 0..<1000 {
        queue.put(number)
        put.store(number + 1, ordering: .sequentiallyConsistent)
      }
      queue.close()
    }
    var taken = 0
    while let number = queue.take() {
      #expect(number == taken)
      taken += 1
      // Of those that were put at most so many are not taken; one more may be on its way.
      #expect(put.load(ordering: .sequentiallyConsistent) <= taken + capacity + 1)
    }
    #expect(taken == 1000)
  }

  @Test("that is closed lets go of whoever waits, and gives what is left")
  func closed() throws {
    let full = BoundedQueue<Int>(capacity: 1)
    full.put(1)
    let empty = BoundedQueue<Int>()
    let answers = BoundedQueue<Bool>()
    runOnThread { answers.put(full.put(2)) }
    runOnThread { answers.put(empty.take() != nil) }
    full.close()
    empty.close()
    #expect(answers.take() == false && answers.take() == false)
    #expect(!full.put(3) && full.isClosed)
    #expect(full.take() == 1 && full.take() == nil)
  }

  @Test("gives all at once, or nothing after a while")
  func all() throws {
    let queue = BoundedQueue<Int>()
    #expect(queue.takeAll(withinSeconds: 0.01) == [])
    for number in 0..<3 { queue.put(number) }
    #expect(queue.takeAll(withinSeconds: 60) == [0, 1, 2])
    runOnThread { queue.put(7) }
    #expect(queue.takeAll(withinSeconds: 60) == [7])
  }
}
