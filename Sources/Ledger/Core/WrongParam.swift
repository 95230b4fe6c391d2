extension OpsError {
  /// A field of a step's params does not have the form that its executor needs.
  public static func wrongParam(_ field: String, isNot expected: String) -> OpsError {
    OpsError(.templateInvalid, "\(field) is not \(expected)", facts: ["path": field])
  }
}
