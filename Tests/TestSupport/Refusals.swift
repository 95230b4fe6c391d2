public import Ledger
public import Testing

/// Expects an error of one code, which says why something was refused and not only that it was.
@discardableResult
public func expectRefusal<R>(
  _ code: OpsError.Code, _ comment: @autoclosure () -> Comment? = nil,
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> R
) -> OpsError? {
  let error = #expect(throws: OpsError.self, comment(), sourceLocation: sourceLocation) {
    _ = try body()
  }
  #expect(
    error == nil || error?.code == code, "\(error?.description ?? "")",
    sourceLocation: sourceLocation)
  return error
}
