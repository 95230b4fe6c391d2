// swift-tools-version: 6.2
import PackageDescription

// Dependencies point down only. This file enforces that.
let settings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .treatAllWarnings(as: .error),
  // The folds are generic over row types of another module. Unspecialized code runs at half the speed.
  .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

// simdjson picks its implementation when it is compiled. Without these flags it picks the slow one.
#if arch(x86_64)
  let simd: [CXXSetting] = [.unsafeFlags(["-msse4.2", "-mpclmul", "-O3"])]
#else
  let simd: [CXXSetting] = [.unsafeFlags(["-O3"])]
#endif

let package = Package(
  name: "opsledger",
  products: [.executable(name: "opsledger", targets: ["opsledger"])],
  targets: [
    // One C library each.
    // Headers only. pkg-config would link libpq, which CLazyPostgres loads at its first use.
    .systemLibrary(
      name: "CPostgres", path: "Sources/C/CPostgres", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(
      name: "CCrypto", path: "Sources/C/CCrypto", pkgConfig: "libcrypto",
      providers: [.apt(["libssl-dev", "pkg-config"])]),
    .systemLibrary(
      name: "CLZ4", path: "Sources/C/CLZ4", pkgConfig: "liblz4",
      providers: [.apt(["liblz4-dev", "pkg-config"])]),
    .target(
      name: "CSimdJSON", path: "Sources/C/CSimdJSON", cxxSettings: simd,
      linkerSettings: [.linkedLibrary("simdjson")]),
    .target(
      name: "CSchema", path: "Sources/C/CSchema",
      cSettings: [.unsafeFlags(["-Wno-c23-extensions"])]),

    // Thin Swift over one library each, without knowledge of the ledger.
    .target(name: "JSON", dependencies: ["CSimdJSON"], swiftSettings: settings),
    .target(
      name: "CLazyPostgres", dependencies: ["CPostgres"], path: "Sources/C/CLazyPostgres"),
    .target(
      name: "Postgres", dependencies: ["CPostgres", "CLazyPostgres"], swiftSettings: settings),
    .target(name: "Crypto", dependencies: ["CCrypto"], swiftSettings: settings),
    .target(name: "LZ4", dependencies: ["CLZ4"], swiftSettings: settings),
    // These load their library at its first use, like CLazyPostgres: it brings two dozen others with it.
    .target(name: "CCurl", path: "Sources/C/CCurl"),
    .target(
      name: "CXML", path: "Sources/C/CXML",
      cSettings: [.unsafeFlags(["-I/usr/include/libxml2"])]),
    .target(name: "HTTP", dependencies: ["CCurl"], swiftSettings: settings),
    .target(name: "XML", dependencies: ["CXML"], swiftSettings: settings),
    // POSIX threads for work that another thread waits for.
    .target(name: "Threads", swiftSettings: settings),
    .target(name: "CHost", path: "Sources/C/CHost"),
    .target(name: "Host", dependencies: ["CHost"], swiftSettings: settings),

    // Pure: streams, decisions, policies, errors.
    .target(name: "Ledger", dependencies: ["JSON"], swiftSettings: settings),

    // Append, seal, schema, session, read.
    .target(
      name: "Log", dependencies: ["Ledger", "JSON", "Postgres", "Crypto", "CSchema", "Threads"],
      swiftSettings: settings),

    // Fold, verify, rebuild, time travel.
    .target(
      name: "Replay", dependencies: ["Log", "Ledger", "JSON", "Postgres", "Crypto", "Threads"],
      swiftSettings: settings),

    // The store: segments, snapshots, restore, retention.
    .target(
      name: "Archive",
      dependencies: [
        "Replay", "Log", "Ledger", "JSON", "Postgres", "LZ4", "Crypto", "HTTP", "XML", "Host",
        "Threads",
      ],
      swiftSettings: settings),

    // Heartbeat, worker, executors.
    .target(
      name: "OpsLoop", dependencies: ["Log", "Ledger", "JSON", "Postgres", "Threads"],
      swiftSettings: settings),

    // A sample day, for `opsledger demo`.
    .target(
      name: "Demo", dependencies: ["OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres"],
      swiftSettings: settings),

    // Parsing and printing only.
    .executableTarget(
      name: "opsledger",
      dependencies: [
        "Demo", "Archive", "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "Crypto",
        "Host",
      ],
      swiftSettings: settings),

    // Measures the hot paths for tools/bench; not shipped.
    .executableTarget(
      name: "opsledger-bench",
      dependencies: ["OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "Threads"],
      path: "Sources/Bench", swiftSettings: settings),

    // For all tests: seeded random data, and the repository's files.
    .target(
      name: "TestSupport", dependencies: ["Ledger", "JSON", "Threads"], path: "Tests/TestSupport",
      swiftSettings: settings),
    // Ledgers for tests, on a scratch server.
    .target(
      name: "TestLedgers",
      dependencies: [
        "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "Crypto", "CSchema",
        "TestSupport",
        "Threads",
      ],
      path: "Tests/TestLedgers", swiftSettings: settings),
    .executableTarget(
      name: "random-histories",
      dependencies: [
        "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "TestLedgers", "TestSupport",
      ],
      path: "Tests/RandomHistories", swiftSettings: settings),
    .executableTarget(
      name: "functions-equal-engine",
      dependencies: [
        "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "TestLedgers", "TestSupport",
      ],
      path: "Tests/FunctionsEqualEngine", swiftSettings: settings),
    .executableTarget(
      name: "commit-cut",
      dependencies: ["OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "TestLedgers"],
      path: "Tests/CommitCut", swiftSettings: settings),
    .executableTarget(
      name: "store-damage", dependencies: ["Archive", "Ledger"], path: "Tests/StoreDamage",
      swiftSettings: settings),
    .testTarget(
      name: "JSONTests", dependencies: ["JSON", "TestSupport"], swiftSettings: settings),
    .testTarget(
      name: "PostgresTests", dependencies: ["Postgres", "TestSupport", "Threads"],
      swiftSettings: settings),
    .testTarget(
      name: "ThreadsTests", dependencies: ["Threads", "TestSupport"], swiftSettings: settings),
    .testTarget(name: "CryptoTests", dependencies: ["Crypto"], swiftSettings: settings),
    .testTarget(
      name: "LZ4Tests", dependencies: ["LZ4", "Crypto", "Host", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "HostTests", dependencies: ["Host", "TestSupport", "Threads"], swiftSettings: settings),
    .testTarget(
      name: "CommandLineTests",
      dependencies: [
        "opsledger", "Log", "Ledger", "Host", "JSON", "TestLedgers", "TestSupport",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "LedgerTests", dependencies: ["Ledger", "JSON", "TestSupport"],
      swiftSettings: settings),
    .testTarget(
      name: "LogTests",
      dependencies: [
        "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "Crypto", "TestLedgers",
        "TestSupport",
        "CSchema",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "ReplayTests",
      dependencies: [
        "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "Crypto", "TestLedgers",
        "TestSupport",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "ArchiveTests",
      dependencies: [
        "Archive", "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "LZ4", "Crypto",
        "HTTP", "XML",
        "Host", "TestLedgers", "TestSupport",
      ],
      swiftSettings: settings),
    .testTarget(
      name: "OpsLoopTests",
      dependencies: [
        "OpsLoop", "Replay", "Log", "Ledger", "JSON", "Postgres", "Crypto", "TestLedgers",
        "TestSupport",
        "Threads",
      ],
      swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6],
  cxxLanguageStandard: .cxx17
)
