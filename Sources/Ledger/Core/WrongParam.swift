extension OpsError {
  /// A field of a step's params is not what the step's executor takes.
  public static func wrongParam(_ field: String, isNot expected: String) -> OpsError {
    OpsError(.templateInvalid, "\(field) is not \(expected)", facts: ["path": field])
  }
}
