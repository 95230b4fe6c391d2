/// Object ids of built-in types. They are the same in every PostgreSQL.
///
/// - Source: src/include/catalog/pg_type.dat.
public struct TypeOID: Hashable, Sendable {
  public let rawValue: UInt32
  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  /// Lets the server infer the type from the statement.
  @inlinable public static var inferred: TypeOID { TypeOID(0) }
  @inlinable public static var bool: TypeOID { TypeOID(16) }
  @inlinable public static var bytea: TypeOID { TypeOID(17) }
  @inlinable public static var int8: TypeOID { TypeOID(20) }
  @inlinable public static var int2: TypeOID { TypeOID(21) }
  @inlinable public static var int4: TypeOID { TypeOID(23) }
  @inlinable public static var text: TypeOID { TypeOID(25) }
  @inlinable public static var json: TypeOID { TypeOID(114) }
  @inlinable public static var float8: TypeOID { TypeOID(701) }
  @inlinable public static var numeric: TypeOID { TypeOID(1700) }
  @inlinable public static var timestamptz: TypeOID { TypeOID(1184) }
  @inlinable public static var uuid: TypeOID { TypeOID(2950) }
  @inlinable public static var jsonb: TypeOID { TypeOID(3802) }
}

/// A type that can be the element of an array parameter.
public enum ElementType: Sendable {
  case bytea, int4, int8, text, json, jsonb, timestamptz, uuid

  @inlinable public var element: TypeOID {
    switch self {
    case .bytea: .bytea
    case .int4: .int4
    case .int8: .int8
    case .text: .text
    case .json: .json
    case .jsonb: .jsonb
    case .timestamptz: .timestamptz
    case .uuid: .uuid
    }
  }

  @inlinable public var array: TypeOID {
    switch self {
    case .bytea: TypeOID(1001)
    case .int4: TypeOID(1007)
    case .int8: TypeOID(1016)
    case .text: TypeOID(1009)
    case .json: TypeOID(199)
    case .jsonb: TypeOID(3807)
    case .timestamptz: TypeOID(1185)
    case .uuid: TypeOID(2951)
    }
  }
}
