// The files of schema/, carried in the binary.
#pragma once
#include <stddef.h>

/// One file: its path below schema/, as 'migrations/0001_roles.sql' or 'policies/loop.json', and its
/// bytes (UTF-8, not terminated by a zero).
typedef struct {
  const char *name;
  const unsigned char *bytes;
  size_t length;
} opsledger_schema_file;

/// The SQL files, in the order in which they are applied.
const opsledger_schema_file *opsledger_schema_sql(void);
size_t opsledger_schema_sql_count(void);

/// The seeded policies, one file a key, sorted by name.
const opsledger_schema_file *opsledger_schema_policies(void);
size_t opsledger_schema_policies_count(void);
