// Made by tools/embed-schema, in apply order; checked by tools/check-schema-list.
#include "schema.h"

static const unsigned char opsledger_schema_sql_0[] = {
#embed "../../schema/migrations/0001_roles.sql"
};
static const unsigned char opsledger_schema_sql_1[] = {
#embed "../../schema/migrations/0002_ledger.sql"
};
static const unsigned char opsledger_schema_sql_2[] = {
#embed "../../schema/migrations/0003_tables.sql"
};
static const unsigned char opsledger_schema_sql_3[] = {
#embed "../../schema/migrations/0004_log.sql"
};
static const unsigned char opsledger_schema_sql_4[] = {
#embed "../../schema/migrations/0005_pgcrypto.sql"
};
static const unsigned char opsledger_schema_sql_5[] = {
#embed "../../schema/migrations/0006_cheaper_appends.sql"
};
static const unsigned char opsledger_schema_sql_6[] = {
#embed "../../schema/migrations/0007_ready_steps.sql"
};
static const unsigned char opsledger_schema_sql_7[] = {
#embed "../../schema/migrations/0008_pattern_cooldowns.sql"
};
static const unsigned char opsledger_schema_sql_8[] = {
#embed "../../schema/functions/add_partitions.sql"
};
static const unsigned char opsledger_schema_sql_9[] = {
#embed "../../schema/functions/appends_in_flight.sql"
};
static const unsigned char opsledger_schema_sql_10[] = {
#embed "../../schema/functions/draw.sql"
};
static const unsigned char opsledger_schema_sql_11[] = {
#embed "../../schema/functions/expect_rows.sql"
};
static const unsigned char opsledger_schema_sql_12[] = {
#embed "../../schema/functions/ignore_insert.sql"
};
static const unsigned char opsledger_schema_sql_13[] = {
#embed "../../schema/functions/now.sql"
};
static const unsigned char opsledger_schema_sql_14[] = {
#embed "../../schema/functions/refuse_change.sql"
};
static const unsigned char opsledger_schema_sql_15[] = {
#embed "../../schema/functions/refuse_concurrent_ddl.sql"
};
static const unsigned char opsledger_schema_sql_16[] = {
#embed "../../schema/functions/refuse_ddl.sql"
};
static const unsigned char opsledger_schema_sql_17[] = {
#embed "../../schema/functions/refuse_drop.sql"
};
static const unsigned char opsledger_schema_sql_18[] = {
#embed "../../schema/functions/seal.sql"
};
static const unsigned char opsledger_schema_sql_19[] = {
#embed "../../schema/functions/sealed.sql"
};
static const unsigned char opsledger_schema_sql_20[] = {
#embed "../../schema/functions/uuid_v5.sql"
};
static const unsigned char opsledger_schema_sql_21[] = {
#embed "../../schema/views/ledger_policy_changes.sql"
};
static const unsigned char opsledger_schema_sql_22[] = {
#embed "../../schema/views/ops_policy_audit.sql"
};
static const unsigned char opsledger_schema_sql_23[] = {
#embed "../../schema/views/ops_policy_history.sql"
};
static const unsigned char opsledger_schema_sql_24[] = {
#embed "../../schema/views/ops_proposal_votes.sql"
};
static const unsigned char opsledger_schema_sql_25[] = {
#embed "../../schema/views/ops_radar.sql"
};
static const unsigned char opsledger_schema_sql_26[] = {
#embed "../../schema/views/ops_step_dead_letters.sql"
};
static const unsigned char opsledger_schema_sql_27[] = {
#embed "../../schema/guards/append_only.sql"
};
static const unsigned char opsledger_schema_sql_28[] = {
#embed "../../schema/guards/frozen_ddl.sql"
};
static const unsigned char opsledger_schema_sql_29[] = {
#embed "../../schema/guards/grants.sql"
};
static const unsigned char opsledger_schema_sql_30[] = {
#embed "../../schema/guards/partitions.sql"
};
static const unsigned char opsledger_schema_sql_31[] = {
#embed "../../schema/guards/permit_ends.sql"
};

static const opsledger_schema_file opsledger_schema_sql_files[] = {
  {"migrations/0001_roles.sql", opsledger_schema_sql_0, sizeof opsledger_schema_sql_0},
  {"migrations/0002_ledger.sql", opsledger_schema_sql_1, sizeof opsledger_schema_sql_1},
  {"migrations/0003_tables.sql", opsledger_schema_sql_2, sizeof opsledger_schema_sql_2},
  {"migrations/0004_log.sql", opsledger_schema_sql_3, sizeof opsledger_schema_sql_3},
  {"migrations/0005_pgcrypto.sql", opsledger_schema_sql_4, sizeof opsledger_schema_sql_4},
  {"migrations/0006_cheaper_appends.sql", opsledger_schema_sql_5, sizeof opsledger_schema_sql_5},
  {"migrations/0007_ready_steps.sql", opsledger_schema_sql_6, sizeof opsledger_schema_sql_6},
  {"migrations/0008_pattern_cooldowns.sql", opsledger_schema_sql_7, sizeof opsledger_schema_sql_7},
  {"functions/add_partitions.sql", opsledger_schema_sql_8, sizeof opsledger_schema_sql_8},
  {"functions/appends_in_flight.sql", opsledger_schema_sql_9, sizeof opsledger_schema_sql_9},
  {"functions/draw.sql", opsledger_schema_sql_10, sizeof opsledger_schema_sql_10},
  {"functions/expect_rows.sql", opsledger_schema_sql_11, sizeof opsledger_schema_sql_11},
  {"functions/ignore_insert.sql", opsledger_schema_sql_12, sizeof opsledger_schema_sql_12},
  {"functions/now.sql", opsledger_schema_sql_13, sizeof opsledger_schema_sql_13},
  {"functions/refuse_change.sql", opsledger_schema_sql_14, sizeof opsledger_schema_sql_14},
  {"functions/refuse_concurrent_ddl.sql", opsledger_schema_sql_15, sizeof opsledger_schema_sql_15},
  {"functions/refuse_ddl.sql", opsledger_schema_sql_16, sizeof opsledger_schema_sql_16},
  {"functions/refuse_drop.sql", opsledger_schema_sql_17, sizeof opsledger_schema_sql_17},
  {"functions/seal.sql", opsledger_schema_sql_18, sizeof opsledger_schema_sql_18},
  {"functions/sealed.sql", opsledger_schema_sql_19, sizeof opsledger_schema_sql_19},
  {"functions/uuid_v5.sql", opsledger_schema_sql_20, sizeof opsledger_schema_sql_20},
  {"views/ledger_policy_changes.sql", opsledger_schema_sql_21, sizeof opsledger_schema_sql_21},
  {"views/ops_policy_audit.sql", opsledger_schema_sql_22, sizeof opsledger_schema_sql_22},
  {"views/ops_policy_history.sql", opsledger_schema_sql_23, sizeof opsledger_schema_sql_23},
  {"views/ops_proposal_votes.sql", opsledger_schema_sql_24, sizeof opsledger_schema_sql_24},
  {"views/ops_radar.sql", opsledger_schema_sql_25, sizeof opsledger_schema_sql_25},
  {"views/ops_step_dead_letters.sql", opsledger_schema_sql_26, sizeof opsledger_schema_sql_26},
  {"guards/append_only.sql", opsledger_schema_sql_27, sizeof opsledger_schema_sql_27},
  {"guards/frozen_ddl.sql", opsledger_schema_sql_28, sizeof opsledger_schema_sql_28},
  {"guards/grants.sql", opsledger_schema_sql_29, sizeof opsledger_schema_sql_29},
  {"guards/partitions.sql", opsledger_schema_sql_30, sizeof opsledger_schema_sql_30},
  {"guards/permit_ends.sql", opsledger_schema_sql_31, sizeof opsledger_schema_sql_31},
};
const opsledger_schema_file *opsledger_schema_sql(void) { return opsledger_schema_sql_files; }
size_t opsledger_schema_sql_count(void) { return sizeof opsledger_schema_sql_files / sizeof opsledger_schema_sql_files[0]; }

static const unsigned char opsledger_schema_policies_0[] = {
#embed "../../schema/policies/agent_roles.json"
};
static const unsigned char opsledger_schema_policies_1[] = {
#embed "../../schema/policies/auto_approve.json"
};
static const unsigned char opsledger_schema_policies_2[] = {
#embed "../../schema/policies/loop.json"
};
static const unsigned char opsledger_schema_policies_3[] = {
#embed "../../schema/policies/proposal_caps.json"
};
static const unsigned char opsledger_schema_policies_4[] = {
#embed "../../schema/policies/reaction_matrix.json"
};
static const unsigned char opsledger_schema_policies_5[] = {
#embed "../../schema/policies/voting_policy.json"
};
static const unsigned char opsledger_schema_policies_6[] = {
#embed "../../schema/policies/worker_policy.json"
};

static const opsledger_schema_file opsledger_schema_policies_files[] = {
  {"policies/agent_roles.json", opsledger_schema_policies_0, sizeof opsledger_schema_policies_0},
  {"policies/auto_approve.json", opsledger_schema_policies_1, sizeof opsledger_schema_policies_1},
  {"policies/loop.json", opsledger_schema_policies_2, sizeof opsledger_schema_policies_2},
  {"policies/proposal_caps.json", opsledger_schema_policies_3, sizeof opsledger_schema_policies_3},
  {"policies/reaction_matrix.json", opsledger_schema_policies_4, sizeof opsledger_schema_policies_4},
  {"policies/voting_policy.json", opsledger_schema_policies_5, sizeof opsledger_schema_policies_5},
  {"policies/worker_policy.json", opsledger_schema_policies_6, sizeof opsledger_schema_policies_6},
};
const opsledger_schema_file *opsledger_schema_policies(void) { return opsledger_schema_policies_files; }
size_t opsledger_schema_policies_count(void) { return sizeof opsledger_schema_policies_files / sizeof opsledger_schema_policies_files[0]; }
