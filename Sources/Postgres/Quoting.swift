/// A name as SQL identifier, quoted always.
public func quoteIdentifier(_ name: String) -> String {
  var quoted = "\""
  for character in name.unicodeScalars {
    if character == "\"" { quoted.unicodeScalars.append("\"") }
    quoted.unicodeScalars.append(character)
  }
  quoted += "\""
  return quoted
}

/// A text as SQL literal, right under either value of `standard_conforming_strings`.
public func quoteLiteral(_ text: String) -> String {
  let escapes = text.utf8.contains(UInt8(ascii: "\\"))
  var quoted = escapes ? " E'" : "'"
  for character in text.unicodeScalars {
    if character == "'" || character == "\\" { quoted.unicodeScalars.append(character) }
    quoted.unicodeScalars.append(character)
  }
  quoted += "'"
  return quoted
}
