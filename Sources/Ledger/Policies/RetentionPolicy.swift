public import JSON

/// Policy `retention`: how long ended missions and old events stay in the database. If it is broken or absent, nothing
/// is archived.
public struct RetentionPolicy: PolicyValue, Equatable {
  public static let key = "retention"

  /// Days from the end of a succeeded mission until it is archived; nil for never.
  public var succeededDays: Double?
  /// The same for a failed mission.
  public var failedDays: Double?
  /// Days until events are archived; nil for never.
  public var logDays: Double?
  public var copies: Copies

  public enum Copies: Equatable, Sendable {
    /// So many of the available stores must have a copy first.
    case count(Int)
    /// These stores must have a copy first.
    case named([String])
  }

  /// A hundred years.
  public static let daysMax = 36_500.0

  public init(_ value: JSON) throws(OpsError) {
    let fields = try FieldReader(Self.key, value, code: .badInput)
    succeededDays = try Self.days(fields, "succeeded_days")
    failedDays = try Self.days(fields, "failed_days")
    logDays = try Self.days(fields, "log_days")
    switch fields.members["copies"] {
    case nil, .null?: copies = .count(1)
    case .array?: copies = .named(try fields.strings("copies") ?? [])
    case let value?:
      guard let count = value.intValue, (1...100).contains(count) else {
        throw fields.wrong("copies", "a whole number from 1 to 100, or a list of stores")
      }
      copies = .count(count)
    }
    if case .named(let places) = copies, places.isEmpty {
      throw fields.wrong("copies", "a list of one store or more")
    }
  }

  private static func days(
    _ fields: FieldReader, _ name: String
  ) throws(OpsError) -> Double? {
    guard let value = fields.members[name], value != .null else { return nil }
    guard let days = value.doubleValue, (0...daysMax).contains(days) else {
      throw fields.wrong(name, "days from 0 to \(Int(daysMax)), or null")
    }
    return days
  }

  /// Days from the end of a mission with this status until it is archived; nil for never.
  public func leaves(_ status: Mission.Status) -> Double? {
    switch status {
    case .succeeded: succeededDays
    case .failed: failedDays
    case .approved, .running: nil
    }
  }
}
