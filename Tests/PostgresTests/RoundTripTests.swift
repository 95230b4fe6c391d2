import Postgres
import Testing

/// Every type out and back, through the server.
@Suite(.needsServer) struct RoundTripTests {
  static let text = "a'b\"c\\ \u{1F600} ünï \n\t end"
  static let document = #"{"b": 1,  "a": [1.10, null, "\u00e4"], "b": 2}"#

  @Test("every scalar comes back as it was sent, and as the server prints it")
  func scalars() throws {
    try TestServer.withConnection { (connection) throws in
      let statement = Statement(
        """
        SELECT $1::bool, $2::int4, $3::int8, $4::float8, $5::text, $6::bytea, $7::uuid,
          $8::timestamptz, $9::json, $10::jsonb, $7::uuid::text,
          ($8::timestamptz AT TIME ZONE 'UTC')::text, $10::jsonb::text
        """)
      let bytes = [UInt8](0...255)
      let rows = try connection.query(
        statement,
        .with {
          $0.bool(true)
          $0.int4(.min)
          $0.int8(.min)
          $0.float8(-0.1)
          $0.text(Self.text)
          $0.bytes(bytes)
          $0.uuid(0x92b8_12ff_fcda_5ec4, 0xa524_d529_e92a_7a52)
          $0.timestamptz(microsSince1970: 1_700_000_000_123_456)
          $0.json(Self.document)
          $0.jsonb(Self.document)
        })
      #expect(rows.count == 1 && rows.columnCount == 13)
      #expect(try rows.bool(0, 0))
      #expect(try rows.int4(0, 1) == .min)
      #expect(try rows.int8(0, 2) == .min)
      #expect(try rows.float8(0, 3) == -0.1)
      #expect(try rows.text(0, 4) == Self.text)
      #expect(try rows.bytea(0, 5) == bytes)
      #expect(try rows.uuid(0, 6) == (0x92b8_12ff_fcda_5ec4, 0xa524_d529_e92a_7a52))
      #expect(try rows.timestamptz(0, 7) == 1_700_000_000_123_456)
      #expect(try rows.json(0, 8) == Self.document)
      #expect(try rows.jsonb(0, 9) == #"{"a": [1.10, null, "ä"], "b": 2}"#)
      #expect(try rows.text(0, 10) == "92b812ff-fcda-5ec4-a524-d529e92a7a52")
      #expect(try rows.text(0, 11) == "2023-11-14 22:13:20.123456")
      #expect(try rows.text(0, 12) == rows.jsonb(0, 9))
    }
  }

  @Test("NULL of every type is NULL, and empty is not")
  func nulls() throws {
    try TestServer.withConnection { (connection) throws in
      let statement = Statement(
        """
        SELECT $1::bool, $2::int4, $3::int8, $4::float8, $5::text, $6::bytea, $7::uuid,
          $8::timestamptz, $9::json, $10::jsonb
        """)
      let rows = try connection.query(
        statement,
        .with {
          $0.bool(nil)
          $0.int4(nil)
          $0.int8(nil)
          $0.float8(nil)
          $0.text(nil)
          $0.bytes(nil)
          $0.null(.uuid)
          $0.timestamptz(microsSince1970: nil)
          $0.json(nil)
          $0.jsonb(nil)
        })
      for column in 0..<10 { #expect(try rows.isNull(0, column)) }
      #expect(try rows.int8IfPresent(0, 2) == nil)
      let empty = try connection.query(
        Statement("SELECT $1::text, $2::bytea"),
        .with {
          $0.text("")
          $0.bytes([])
        })
      #expect(try empty.textIfPresent(0, 0) == "")
      #expect(try empty.byteaIfPresent(0, 1) == [])
    }
  }

  @Test(
    "times from the year 1 to infinity survive",
    arguments: [
      (Int64.max, "infinity"), (.min, "-infinity"), (0, "1970-01-01 00:00:00"),
      (946_684_800_000_000, "2000-01-01 00:00:00"), (-1, "1969-12-31 23:59:59.999999"),
      (-62_135_596_800_000_000, "0001-01-01 00:00:00"),
    ])
  func times(micros: Int64, printed: String) throws {
    try TestServer.withConnection { (connection) throws in
      let rows = try connection.query(
        Statement("SELECT $1::timestamptz, ($1::timestamptz AT TIME ZONE 'UTC')::text"),
        .with { $0.timestamptz(microsSince1970: micros) })
      #expect(try rows.timestamptz(0, 0) == micros)
      #expect(try rows.text(0, 1) == printed)
    }
  }

  @Test("arrays of every type, with NULLs and without elements, unnest to what was appended")
  func arrays() throws {
    try TestServer.withConnection { (connection) throws in
      var parameters = Parameters()
      func append(_ type: ElementType, _ fill: (inout ArrayBuilder) -> Void) {
        var builder = ArrayBuilder(type)
        fill(&builder)
        builder.null()
        parameters.array(builder)
      }
      append(.int4) { $0.int4(-4) }
      append(.int8) { $0.int8(-8) }
      append(.text) { $0.text(Self.text) }
      append(.json) { $0.json(Self.document) }
      append(.jsonb) { $0.jsonb(#"{"a": 1}"#) }
      append(.bytea) { $0.bytes([0, 255]) }
      append(.uuid) { $0.uuid(1, 2) }
      append(.timestamptz) { $0.timestamptz(microsSince1970: 5) }
      let rows = try connection.query(
        Statement(
          """
          SELECT * FROM unnest($1::int4[], $2::int8[], $3::text[], $4::json[], $5::jsonb[],
            $6::bytea[], $7::uuid[], $8::timestamptz[])
          """), parameters)
      #expect(rows.count == 2)
      #expect(try rows.int4(0, 0) == -4)
      #expect(try rows.int8(0, 1) == -8)
      #expect(try rows.text(0, 2) == Self.text)
      #expect(try rows.json(0, 3) == Self.document)
      #expect(try rows.jsonb(0, 4) == #"{"a": 1}"#)
      #expect(try rows.bytea(0, 5) == [0, 255])
      #expect(try rows.uuid(0, 6) == (1, 2))
      #expect(try rows.timestamptz(0, 7) == 5)
      for column in 0..<8 { #expect(try rows.isNull(1, column)) }
    }
  }

  @Test("an empty array builder is an array without elements, and a full one has all of them")
  func arraySizes() throws {
    try TestServer.withConnection { (connection) throws in
      let count = Statement("SELECT cardinality($1::int[]), $1::int[]")
      var builder = ArrayBuilder(.int4)
      let empty = try connection.query(count, .with { $0.array(builder) })
      #expect(try empty.int4(0, 0) == 0)
      #expect(try empty.int4Array(0, 1) == [])
      for value in 0..<1000 as Range<Int32> { builder.int4(value) }
      let full = try connection.query(count, .with { $0.array(builder) })
      #expect(try full.int4(0, 0) == 1000)
      #expect(try full.int4Array(0, 1) == Array(0..<1000))
    }
  }

  @Test("a value of another size, a NULL and a place that does not exist are errors, not traps")
  func mismatches() throws {
    try TestServer.withConnection { (connection) throws in
      let rows = try connection.query(
        Statement(
          "SELECT 1::bigint, NULL::int, '{{1,2},{3,4}}'::int[], 'x'::text, '{1}'::int8[], '{1,NULL}'::int[]"
        ))
      func refused(_ read: () throws(PostgresError) -> Void) -> Bool {
        do {
          try read()
          return false
        } catch {
          return error.kind == .protocolViolation
        }
      }
      #expect(refused { () throws(PostgresError) in _ = try rows.int4(0, 0) })
      #expect(refused { () throws(PostgresError) in _ = try rows.int4(0, 1) })
      #expect(refused { () throws(PostgresError) in _ = try rows.uuid(0, 0) })
      #expect(refused { () throws(PostgresError) in _ = try rows.int4Array(0, 2) })
      #expect(refused { () throws(PostgresError) in _ = try rows.int4Array(0, 4) })
      #expect(refused { () throws(PostgresError) in _ = try rows.int4Array(0, 5) })
      #expect(refused { () throws(PostgresError) in _ = try rows.int4Array(0, 0) })
      #expect(refused { () throws(PostgresError) in _ = try rows.jsonb(0, 3) })
      for (row, column) in [(1, 0), (0, 6), (-1, 0), (0, -1), (Int.max, Int.max)] {
        #expect(refused { () throws(PostgresError) in _ = try rows.isNull(row, column) })
      }
    }
  }

  @Test("quoted names and literals mean themselves")
  func quoting() throws {
    try TestServer.withConnection { (connection) throws in
      let odd = #"a "b" \ 'c' ; --"#
      let name = quoteIdentifier(odd)
      try connection.execute("CREATE TABLE \(name) AS SELECT \(quoteLiteral(odd)) AS \(name)")
      for setting in ["on", "off"] {
        try connection.execute("SET standard_conforming_strings = \(setting)")
        let rows = try connection.query(
          Statement("SELECT \(name) FROM \(name) WHERE \(name) = \(quoteLiteral(odd))"))
        #expect(try rows.text(0, 0) == odd)
      }
    }
  }
}
