import Ledger
import TestSupport
import Testing

@Suite("Moments")
struct InstantTests {
  @Test(
    "a moment is read and printed",
    arguments: [
      ("1970-01-01T00:00:00.000000Z", 0), ("1970-01-01T00:00:00.000001Z", 1),
      ("1969-12-31T23:59:59.999999Z", -1), ("1900-01-01T00:00:00.000000Z", -2_208_988_800_000_000),
      ("2000-02-29T12:00:00.000000Z", 951_825_600_000_000),
      ("2024-02-29T23:59:59.999999Z", 1_709_251_199_999_999),
      ("2100-03-01T00:00:00.000000Z", 4_107_542_400_000_000),
      ("2026-11-24T06:00:28.000123Z", 1_795_500_028_000_123),
      ("0001-01-01T00:00:00.000000Z", -62_135_596_800_000_000),
      ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ] as [(String, Int64)])
  func both(text: String, micros: Int64) {
    #expect(Instant(text)?.micros == micros)
    #expect(Instant(micros: micros).description == text)
  }

  @Test(
    "other spellings of a moment are read too",
    arguments: [
      ("2026-11-24", "2026-11-24T00:00:00.000000Z"),
      ("2026-11-24T06:00", "2026-11-24T06:00:00.000000Z"),
      ("2026-11-24 06:00:28", "2026-11-24T06:00:28.000000Z"),
      ("2026-11-24t06:00:28z", "2026-11-24T06:00:28.000000Z"),
      ("2026-11-24T06:00:28.5", "2026-11-24T06:00:28.500000Z"),
      ("2026-11-24T06:00:28.12Z", "2026-11-24T06:00:28.120000Z"),
      ("2026-11-24T06:00:28+02:00", "2026-11-24T04:00:28.000000Z"),
      ("2026-11-24T23:30:00-0530", "2026-11-25T05:00:00.000000Z"),
      ("2026-11-24 06:00:28.000123+00", "2026-11-24T06:00:28.000123Z"),
      ("2026-01-01T00:00:00+01:00", "2025-12-31T23:00:00.000000Z"),
      ("2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00.000000Z"),
      ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
    ])
  func spellings(text: String, printed: String) {
    #expect(Instant(text)?.description == printed)
  }

  @Test(
    "what is no moment is none",
    arguments: [
      "", "x", "2026", "2026-11", "2026-11-2", "2026-13-01", "2026-00-01", "2026-01-00",
      "2026-01-32", "2026-04-31", "2026-02-29", "1900-02-29", "2100-02-29", "2024-02-30",
      "26-11-24", "2026/11/24", "2026-11-24T", "2026-11-24T6:00", "2026-11-24T24:00:00",
      "2026-11-24T06:60", "2026-11-24T06:00:61", "2026-11-24T06:00:28.", "2026-11-24T06:00:28.Z",
      "2026-11-24T06:00:28.0000001Z", "2026-11-24T06:00:28ZZ", "2026-11-24T06:00:28Z ",
      " 2026-11-24", "2026-11-24T06:00:28+", "2026-11-24T06:00:28+2", "2026-11-24T06:00:28+02:",
      "2026-11-24T06:00:28+24:00", "2026-11-24T06:00:28+02:60", "2026-11-24T06:00:28+02:0",
      "2026-11-24X06:00", "2026-11-24T06:00:28 Z", "-026-11-24", "２０２６-11-24", "now", "infinity",
    ])
  func malformed(text: String) {
    #expect(Instant(text) == nil)
  }

  @Test("every moment from year 1 to 9999 is read as it is printed", arguments: Seeds.some(20))
  func roundTrip(seed: UInt64) {
    var generator = Generator(seed: seed)
    for _ in 0..<1000 {
      let span: Int64 = 253_402_300_799_999_999 + 62_135_596_800_000_000
      let micros = Int64(generator.next() >> 1) % span - 62_135_596_800_000_000
      #expect(Instant(Instant(micros: micros).description)?.micros == micros)
    }
  }

  @Test(
    "a moment beyond four digits of a year is printed whole, and the extremes as what they are",
    arguments: [
      ("10000-01-01T00:00:00.000000Z", 253_402_300_800_000_000),
      ("294247-01-10T04:00:54.775806Z", .max - 1),
      ("0000-12-31T00:00:00.000000Z", -62_135_683_200_000_000),
      ("-0001-12-31T00:00:00.000000Z", -62_167_305_600_000_000), ("infinity", .max),
      ("-infinity", .min),
    ] as [(String, Int64)])
  func beyond(text: String, micros: Int64) {
    #expect(Instant(micros: micros).description == text)
    if text.first?.isNumber == true { #expect(Instant(text)?.micros == micros) }
  }

  @Test("every day of four centuries follows the one before")
  func days() {
    let day: Int64 = 86_400_000_000
    let printed = (0..<(146_097 as Int64)).map { number in
      Instant(micros: number * day - 40 * 365 * day).description
    }
    #expect(printed.allSatisfy { $0.hasSuffix("T00:00:00.000000Z") })
    #expect(zip(printed, printed.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test("moments are counted from, and a day begins at midnight UTC, before 1970 too")
  func arithmetic() throws {
    let moment = try #require(Instant("2026-11-24T06:00:00Z"))
    #expect(moment.adding(seconds: 1.5).description == "2026-11-24T06:00:01.500000Z")
    #expect(moment.adding(milliseconds: -1).description == "2026-11-24T05:59:59.999000Z")
    #expect(moment.adding(seconds: 90).seconds(since: moment) == 90)
    #expect(moment.seconds(since: moment.adding(seconds: 90)) == -90)
    #expect(moment.startOfDay.description == "2026-11-24T00:00:00.000000Z")
    #expect(moment.startOfDay.startOfDay == moment.startOfDay)
    #expect(
      Instant("1969-07-20T20:17:40Z")?.startOfDay.description == "1969-07-20T00:00:00.000000Z")
    #expect(moment < moment.adding(milliseconds: 1))
  }

  @Test("an absurd span ends at the last or the first moment, and traps nothing")
  func saturates() {
    let moment = Fixed.time(0)
    for seconds in [1e300, .infinity, 9.3e12, .nan] {
      #expect(moment.adding(seconds: seconds) == Instant(micros: .max))
    }
    #expect(moment.adding(seconds: -1e300) == Instant(micros: .min))
    #expect(moment.adding(milliseconds: .max) == Instant(micros: .max))
    #expect(moment.adding(milliseconds: .min) == Instant(micros: .min))
    #expect(Instant.allocated.adding(seconds: 1) == .allocated)
    #expect(Instant.allocated.seconds(since: Instant(micros: .min)) > 1e13)
    #expect(!Instant.allocated.description.isEmpty)
    #expect(!Instant(micros: .min).description.isEmpty)
  }
}

@Suite("Values")
struct ValueTests {
  @Test("values are the same by bytes, where strings would be equal by characters")
  func bytes() {
    #expect("é" == "e\u{301}")
    #expect(!Value.text("é").same(as: .text("e\u{301}")))
    #expect(!Value.json("\"é\"").same(as: .json("\"e\u{301}\"")))
    #expect(Value.text("é").same(as: .text("é")))
  }

  @Test("values of different kinds are never the same, and NULL is only itself")
  func kinds() {
    let values: [Value] = [
      .null, .int(0), .text("0"), .json("0"), .json("null"), .text("null"), .text(""), .ints([]),
      .ints([0]), .uuid(Fixed.id(0)), .time(Fixed.time(0)), .int(1), .ints([0, 0]),
      .uuid(Fixed.id(1)), .time(Fixed.time(1)), .json("{}"), .json("{ }"),
    ]
    for (a, first) in values.enumerated() {
      for (b, second) in values.enumerated() {
        #expect(first.same(as: second) == (a == b), "\(first) \(second)")
      }
    }
  }

  @Test("a value prints as a person reads it")
  func printed() {
    #expect(Value.null.printed == nil)
    #expect(Value.json("null").printed == "null")
    #expect(Value.ints([1, -2]).printed == "{1,-2}")
    #expect(Value.ints([]).printed == "{}")
    #expect(Value.int(-7).printed == "-7")
    #expect(Value.time(Instant(micros: 0)).printed == "1970-01-01T00:00:00.000000Z")
  }

  @Test(
    "a column takes values of its type, NULL where it may, and no others",
    arguments: RowType.allCases)
  func columns(rowType: RowType) throws {
    try check(rowType.sampled)
  }

  private func check<R: Sampled>(_: R.Type) throws {
    var generator = Generator(seed: 2)
    generator.isFull = true
    #expect(Set(R.columns.map(\.name)).count == R.columns.count)
    for column in R.columns {
      var row = R(blank: Fixed.stream)
      let value = R.sampleValue(column, &generator)
      #expect(column.set(&row, value), "\(column.name)")
      #expect(column.get(row).same(as: value), "\(column.name)")
      #expect(column.set(&row, .null) == column.isNullable, "\(column.name)")
      #expect(column.get(row).same(as: column.isNullable ? .null : value), "\(column.name)")
      if R.labels[column.name] != nil {
        #expect(!column.set(&row, .text("no such label")), "\(column.name)")
      }
    }
  }
}
