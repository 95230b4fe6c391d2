/// A name as SQL identifier. It is always quoted.
public func quoteIdentifier(_ name: String) -> String {
  "\"\(doubling(["\""], in: name))\""
}

/// A text as SQL literal, which is right under both values of `standard_conforming_strings`.
public func quoteLiteral(_ text: String) -> String {
  let quoted = "'\(doubling(["'", "\\"], in: text))'"
  return text.utf8.contains(UInt8(ascii: "\\")) ? " E" + quoted : quoted
}

private func doubling(_ marks: [Unicode.Scalar], in text: String) -> String {
  var doubled = String.UnicodeScalarView()
  for scalar in text.unicodeScalars {
    if marks.contains(scalar) { doubled.append(scalar) }
    doubled.append(scalar)
  }
  return String(doubled)
}
