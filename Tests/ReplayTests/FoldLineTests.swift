import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import Testing

@testable import Replay

@Suite("Lines of a segment", .needsServer)
struct FoldLineTests {
  @Test("fold to the same rows as the log itself")
  func fold() throws {
    try TestLedger.with { ledger in
      let engine = try ledger.engine()
      for number in 0..<5 {
        _ = try engine.emit(
          AgentEvent.Report(
            type: "build:main:failed", data: #"{"build": "b\#(number)", "source": "ci"}"#))
      }
      _ = try engine.heartbeat(drain: true)
      try ledger.execute(
        #"""
        UPDATE ops_mission_proposals SET reason = E'a\tb\\c\nd';
        INSERT INTO ops_demand_radar (title, stage) VALUES (E'tab\there', 'watching');
        DELETE FROM ops_policy WHERE key = 'agent_roles'
        """#)
      let session = try ledger.session()
      let connection = try session.connection()
      var (rows, lines) = (Fold(), Fold())
      let binary = try connection.copyReader(
        "COPY (SELECT \(Fold.columns) FROM ledger.events ORDER BY entry, index) TO STDOUT (FORMAT binary)"
      )
      while let row = try binary.next() { try rows.take(row) }
      let reader = EventLineReader()
      let text = try connection.copyReader("COPY (SELECT * FROM ledger.events) TO STDOUT")
      while let line = try text.nextRaw() { lines.take(try reader.read(line)) }
      rows.finish()
      lines.finish()
      #expect(rows.eventCount == lines.eventCount)
      #expect(rows.rowCount > 20)
      #expect(rows.context.problems.isEmpty && lines.context.problems.isEmpty)
      var printer = Printer(fold: rows)
      try printer.visitParentsFirst()
      var other = Printer(fold: lines)
      try other.visitParentsFirst()
      #expect(printer.rows == other.rows)
    }
  }

  private struct Printer: RowVisitor {
    let fold: Fold
    var rows: Set<String> = []

    init(fold: Fold) { self.fold = fold }

    mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
      fold[keyPath: table].withEachRow { row in
        let values = R.columns.map { "\($0.name)=\($0.get(row.pointee).printed ?? "null")" }
        rows.insert("\(R.table) \(row.pointee.version) \(values)")
      }
    }
  }
}
