import JSON

extension String {
  /// This json object with one member set, or taken out; in `jsonb`'s spelling.
  ///
  /// A key that sorts before all others is spliced in without reading the rest, which is what a
  /// reaction's result is.
  func settingMember(_ key: String, to value: JSON?) -> String {
    if let value, let spliced = splicingFirst(key, value) { return spliced }
    var members = (try? JSON(parsing: self))?.objectValue ?? [:]
    members[key] = value
    return JSON.object(members).text
  }

  private func splicingFirst(_ key: String, _ value: JSON) -> String? {
    let utf8 = self.utf8
    guard utf8.count > key.utf8.count + 4, utf8.first == UInt8(ascii: "{") else { return nil }
    let open = utf8.index(after: utf8.startIndex)
    guard utf8[open] == UInt8(ascii: "\""),
      let close = utf8[utf8.index(after: open)...].firstIndex(of: UInt8(ascii: "\"")),
      utf8.distance(from: open, to: close) - 1 > key.utf8.count,
      // An escape is longer than what it stands for: such a key may sort before this one.
      !utf8[open..<close].contains(UInt8(ascii: "\\"))
    else { return nil }
    return "{" + JSON.string(key).text + ": " + value.text + ", " + self.dropFirst()
  }
}

extension [String: JSON] {
  /// Of a json column that mixes structure and content, the members that are structure: those named,
  /// where they are scalars as the engine writes them.
  func structure(_ names: String...) -> [String: JSON] {
    filter { key, value in
      names.contains(key) && value.objectValue == nil && value.arrayValue == nil
    }
  }
}
