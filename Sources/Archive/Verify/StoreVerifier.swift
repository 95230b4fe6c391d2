import Crypto
public import Ledger
import Log

public struct StoreReport: Equatable, Sendable {
  /// The last entry up to which the store is sound, and the root there.
  public var lastEntry: Int64 = 0
  public var root = TreeHasher.emptyRoot.hex
  /// The number of sound segments, and of their events.
  public var segments = 0
  public var events = 0
  /// The number of sound snapshots whose rows are those that the events give.
  public var snapshots = 0
  /// The number of full tiles that fit the events.
  public var tiles = 0
  /// Files that are damaged, missing or foreign.
  public var faults: [String] = []
  /// Leftovers that the next push removes, and checks that could not be made.
  public var notes: [String] = []
}

/// Reads every byte of a store and checks every hash. Continues after a fault, so that it names all, and begins again if
/// a push replaced files meanwhile.
public struct StoreVerifier {
  private let store: Store

  public init(_ store: Store) { self.store = store }

  /// - Parameter progress: Gets the number of events read, twice.
  public func run(_ progress: (Int, Int) -> Void = { _, _ in }) throws(OpsError) -> StoreReport {
    try readingWhole([store.files]) { () throws(OpsError) in
      let report = try readOnce(progress)
      return (report, isFine: report.faults.isEmpty)
    }
  }

  private func readOnce(_ progress: (Int, Int) -> Void) throws(OpsError) -> StoreReport {
    var report = StoreReport()
    let list = try store.foundSegments()
    report.faults += list.holes.map(\.error.message)
    report.notes += list.unknownFiles.map { "\($0) is not a file of a store" }
    report.notes += list.superseded.map {
      "\($0.path): a later or merged segment has its entries; the next push removes it"
    }
    var tree = MerkleFrontier()
    var isWhole = true
    var gone = GoneContent()
    let firstHole = list.holes.map(\.entries.upperBound).min() ?? .max
    let tiles = try TileCheck(store.files)
    for segment in list.segments {
      if firstHole < segment.name.entries.lowerBound { isWhole = false }
      do throws(OpsError) {
        let reader = try store.reader(of: segment)
        let index = reader.index
        let goesOn = isWhole && index.before == tree
        try reader.verify { (frame) throws(OpsError) in
          if goesOn { try tiles.take(frame.leaves) }
          gone.add(frame.gone)
        }
        if isWhole, index.before != tree {
          report.faults.append(
            "\(segment.name.path) does not continue the segment before it: it is of another history"
          )
          isWhole = false
        }
        tree = index.after
        report.segments += 1
        report.events += Int(clamping: index.eventCount)
        progress(report.events, report.events)
        if isWhole {
          (report.lastEntry, report.root) = (segment.name.entries.upperBound, index.root.hex)
        }
      } catch {
        guard error.code == .storeDiverged || error.code == .notFound else { throw error }
        report.faults.append(error.message)
        isWhole = false
      }
    }
    // The erasure may be in a segment that cannot be read.
    let unexplained = isWhole ? gone.unexplained : []
    if let first = unexplained.first {
      report.faults.append(
        "\(store.files.place) lacks content of \(unexplained.count) streams that no erasure removed, first in "
          + "entry \(first.entry), stream \(first.stream)")
    }
    tiles.finish(isWhole: isWhole)
    report.tiles = tiles.sound
    report.faults += tiles.faults
    report.notes += tiles.notes
    try checkSnapshots(list, isWhole: isWhole, &report)
    return report
  }

  /// Reads the snapshots, and folds the events once more to compare their rows.
  private func checkSnapshots(
    _ segments: SegmentList, isWhole: Bool, _ report: inout StoreReport
  ) throws(OpsError) {
    let list = try store.snapshots()
    report.notes += list.unknownFiles.map { "\($0) is not a file of a store" }
    report.notes += list.superseded.map {
      "\($0.path): a later generation replaces it; the next push removes it"
    }
    var readers: [SnapshotReader] = []
    for snapshot in list.snapshots {
      do throws(OpsError) {
        let reader = try store.reader(of: snapshot)
        try reader.verify()
        if snapshot.name.entry <= report.lastEntry {
          readers.append(reader)
        } else if isWhole {
          report.faults.append(
            "\(snapshot.name) is of an entry that no segment has: the newest are missing")
        } else {
          report.notes.append(
            "\(snapshot.name) was not compared with the events, which are damaged")
        }
      } catch {
        guard error.code == .storeDiverged || error.code == .notFound else { throw error }
        report.faults.append(error.message)
      }
    }
    var check = SnapshotCheck(store, segments.segments, readers)
    do throws(OpsError) { try check.run(events: report.events) } catch {
      guard error.code == .inconsistentRow else { throw error }
      report.faults.append(error.message)
    }
    report.faults += check.faults
    report.notes += check.notes
    report.snapshots = check.faults.isEmpty ? readers.count : 0
  }
}
