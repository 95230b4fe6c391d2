// The files of schema/, embedded in the program.
#pragma once
#include <stddef.h>

/// A file: its path in schema/, such as 'migrations/0001_roles.sql' or 'policies/loop.json', and its bytes (UTF-8, without
/// a zero at the end).
typedef struct {
  const char *name;
  const unsigned char *bytes;
  size_t length;
} opsledger_schema_file;

/// The SQL files, in the order in which they are applied.
const opsledger_schema_file *opsledger_schema_sql(void);
size_t opsledger_schema_sql_count(void);

/// The seeded policies, a file for each key, sorted by name.
const opsledger_schema_file *opsledger_schema_policies(void);
size_t opsledger_schema_policies_count(void);
