// Made by tools/embed-schema, in apply order; checked by tools/check-schema-list.
#include "schema.h"

static const unsigned char opsledger_schema_sql_0[] = {
#embed "../../../schema/migrations/0001_roles.sql"
};
static const unsigned char opsledger_schema_sql_1[] = {
#embed "../../../schema/migrations/0002_ledger.sql"
};
static const unsigned char opsledger_schema_sql_2[] = {
#embed "../../../schema/migrations/0003_tables.sql"
};
static const unsigned char opsledger_schema_sql_3[] = {
#embed "../../../schema/migrations/0004_log.sql"
};
static const unsigned char opsledger_schema_sql_4[] = {
#embed "../../../schema/migrations/0005_capture.sql"
};
static const unsigned char opsledger_schema_sql_5[] = {
#embed "../../../schema/migrations/0006_archive.sql"
};
static const unsigned char opsledger_schema_sql_6[] = {
#embed "../../../schema/migrations/0007_loop.sql"
};
static const unsigned char opsledger_schema_sql_7[] = {
#embed "../../../schema/functions/capture/capture_columns.sql"
};
static const unsigned char opsledger_schema_sql_8[] = {
#embed "../../../schema/functions/capture/capture_encode.sql"
};
static const unsigned char opsledger_schema_sql_9[] = {
#embed "../../../schema/functions/capture/capture_is_own.sql"
};
static const unsigned char opsledger_schema_sql_10[] = {
#embed "../../../schema/functions/capture/capture_move.sql"
};
static const unsigned char opsledger_schema_sql_11[] = {
#embed "../../../schema/functions/capture/capture_planner.sql"
};
static const unsigned char opsledger_schema_sql_12[] = {
#embed "../../../schema/functions/capture/capture_recorded.sql"
};
static const unsigned char opsledger_schema_sql_13[] = {
#embed "../../../schema/functions/capture/capture_tables.sql"
};
static const unsigned char opsledger_schema_sql_14[] = {
#embed "../../../schema/functions/capture/guard_tables.sql"
};
static const unsigned char opsledger_schema_sql_15[] = {
#embed "../../../schema/functions/capture/have_capture.sql"
};
static const unsigned char opsledger_schema_sql_16[] = {
#embed "../../../schema/functions/capture/have_trigger.sql"
};
static const unsigned char opsledger_schema_sql_17[] = {
#embed "../../../schema/functions/capture/ignore_insert.sql"
};
static const unsigned char opsledger_schema_sql_18[] = {
#embed "../../../schema/functions/capture/table_faults.sql"
};
static const unsigned char opsledger_schema_sql_19[] = {
#embed "../../../schema/functions/capture/write_vote.sql"
};
static const unsigned char opsledger_schema_sql_20[] = {
#embed "../../../schema/functions/log/add_partitions.sql"
};
static const unsigned char opsledger_schema_sql_21[] = {
#embed "../../../schema/functions/log/allocate_entry.sql"
};
static const unsigned char opsledger_schema_sql_22[] = {
#embed "../../../schema/functions/log/append_agent_event.sql"
};
static const unsigned char opsledger_schema_sql_23[] = {
#embed "../../../schema/functions/log/appends_in_flight.sql"
};
static const unsigned char opsledger_schema_sql_24[] = {
#embed "../../../schema/functions/log/expect_rows.sql"
};
static const unsigned char opsledger_schema_sql_25[] = {
#embed "../../../schema/functions/log/instance.sql"
};
static const unsigned char opsledger_schema_sql_26[] = {
#embed "../../../schema/functions/log/json_whole.sql"
};
static const unsigned char opsledger_schema_sql_27[] = {
#embed "../../../schema/functions/log/make_bookkeeping.sql"
};
static const unsigned char opsledger_schema_sql_28[] = {
#embed "../../../schema/functions/log/now.sql"
};
static const unsigned char opsledger_schema_sql_29[] = {
#embed "../../../schema/functions/log/refuse_change.sql"
};
static const unsigned char opsledger_schema_sql_30[] = {
#embed "../../../schema/functions/log/refuse_concurrent_ddl.sql"
};
static const unsigned char opsledger_schema_sql_31[] = {
#embed "../../../schema/functions/log/refuse_ddl.sql"
};
static const unsigned char opsledger_schema_sql_32[] = {
#embed "../../../schema/functions/log/refuse_drop.sql"
};
static const unsigned char opsledger_schema_sql_33[] = {
#embed "../../../schema/functions/log/repair_guarded.sql"
};
static const unsigned char opsledger_schema_sql_34[] = {
#embed "../../../schema/functions/log/seal.sql"
};
static const unsigned char opsledger_schema_sql_35[] = {
#embed "../../../schema/functions/log/sealed.sql"
};
static const unsigned char opsledger_schema_sql_36[] = {
#embed "../../../schema/functions/log/server_run.sql"
};
static const unsigned char opsledger_schema_sql_37[] = {
#embed "../../../schema/functions/log/show_bound.sql"
};
static const unsigned char opsledger_schema_sql_38[] = {
#embed "../../../schema/functions/log/task_leases.sql"
};
static const unsigned char opsledger_schema_sql_39[] = {
#embed "../../../schema/functions/log/uuid_v5.sql"
};
static const unsigned char opsledger_schema_sql_40[] = {
#embed "../../../schema/functions/predecessor/auto_approval_refusal.sql"
};
static const unsigned char opsledger_schema_sql_41[] = {
#embed "../../../schema/functions/predecessor/condition_holds.sql"
};
static const unsigned char opsledger_schema_sql_42[] = {
#embed "../../../schema/functions/predecessor/executors.sql"
};
static const unsigned char opsledger_schema_sql_43[] = {
#embed "../../../schema/functions/predecessor/fail_attempt.sql"
};
static const unsigned char opsledger_schema_sql_44[] = {
#embed "../../../schema/functions/predecessor/fail_mission.sql"
};
static const unsigned char opsledger_schema_sql_45[] = {
#embed "../../../schema/functions/predecessor/gate.sql"
};
static const unsigned char opsledger_schema_sql_46[] = {
#embed "../../../schema/functions/predecessor/halted.sql"
};
static const unsigned char opsledger_schema_sql_47[] = {
#embed "../../../schema/functions/predecessor/next_step.sql"
};
static const unsigned char opsledger_schema_sql_48[] = {
#embed "../../../schema/functions/predecessor/ops_cast_vote.sql"
};
static const unsigned char opsledger_schema_sql_49[] = {
#embed "../../../schema/functions/predecessor/ops_check_consensus.sql"
};
static const unsigned char opsledger_schema_sql_50[] = {
#embed "../../../schema/functions/predecessor/ops_claim_next_step.sql"
};
static const unsigned char opsledger_schema_sql_51[] = {
#embed "../../../schema/functions/predecessor/ops_create_mission_from_proposal.sql"
};
static const unsigned char opsledger_schema_sql_52[] = {
#embed "../../../schema/functions/predecessor/ops_create_proposal_and_maybe_autoapprove.sql"
};
static const unsigned char opsledger_schema_sql_53[] = {
#embed "../../../schema/functions/predecessor/ops_extract_step_kinds.sql"
};
static const unsigned char opsledger_schema_sql_54[] = {
#embed "../../../schema/functions/predecessor/ops_gate_proposal.sql"
};
static const unsigned char opsledger_schema_sql_55[] = {
#embed "../../../schema/functions/predecessor/ops_is_auto_approvable.sql"
};
static const unsigned char opsledger_schema_sql_56[] = {
#embed "../../../schema/functions/predecessor/ops_maybe_finalize_mission.sql"
};
static const unsigned char opsledger_schema_sql_57[] = {
#embed "../../../schema/functions/predecessor/ops_recover_expired_leases.sql"
};
static const unsigned char opsledger_schema_sql_58[] = {
#embed "../../../schema/functions/predecessor/ops_recover_stale_steps.sql"
};
static const unsigned char opsledger_schema_sql_59[] = {
#embed "../../../schema/functions/predecessor/ops_set_updated_at.sql"
};
static const unsigned char opsledger_schema_sql_60[] = {
#embed "../../../schema/functions/predecessor/policy_fault.sql"
};
static const unsigned char opsledger_schema_sql_61[] = {
#embed "../../../schema/functions/predecessor/policy_field_fits.sql"
};
static const unsigned char opsledger_schema_sql_62[] = {
#embed "../../../schema/functions/predecessor/recover_steps.sql"
};
static const unsigned char opsledger_schema_sql_63[] = {
#embed "../../../schema/functions/predecessor/report_outcome.sql"
};
static const unsigned char opsledger_schema_sql_64[] = {
#embed "../../../schema/functions/predecessor/require_read_committed.sql"
};
static const unsigned char opsledger_schema_sql_65[] = {
#embed "../../../schema/functions/predecessor/submit.sql"
};
static const unsigned char opsledger_schema_sql_66[] = {
#embed "../../../schema/functions/predecessor/template_steps.sql"
};
static const unsigned char opsledger_schema_sql_67[] = {
#embed "../../../schema/functions/predecessor/vote_rules.sql"
};
static const unsigned char opsledger_schema_sql_68[] = {
#embed "../../../schema/functions/predecessor/worker_rules.sql"
};
static const unsigned char opsledger_schema_sql_69[] = {
#embed "../../../schema/functions/store/confirmed_archived_partitions.sql"
};
static const unsigned char opsledger_schema_sql_70[] = {
#embed "../../../schema/functions/store/confirmed_erasures.sql"
};
static const unsigned char opsledger_schema_sql_71[] = {
#embed "../../../schema/functions/store/copies_of.sql"
};
static const unsigned char opsledger_schema_sql_72[] = {
#embed "../../../schema/functions/store/drop_partition.sql"
};
static const unsigned char opsledger_schema_sql_73[] = {
#embed "../../../schema/functions/store/erase_content.sql"
};
static const unsigned char opsledger_schema_sql_74[] = {
#embed "../../../schema/functions/store/forget_statistics.sql"
};
static const unsigned char opsledger_schema_sql_75[] = {
#embed "../../../schema/functions/store/open_times.sql"
};
static const unsigned char opsledger_schema_sql_76[] = {
#embed "../../../schema/functions/store/record_root.sql"
};
static const unsigned char opsledger_schema_sql_77[] = {
#embed "../../../schema/functions/store/said_by.sql"
};
static const unsigned char opsledger_schema_sql_78[] = {
#embed "../../../schema/views/ledger_events_in_database.sql"
};
static const unsigned char opsledger_schema_sql_79[] = {
#embed "../../../schema/views/ledger_policy_changes.sql"
};
static const unsigned char opsledger_schema_sql_80[] = {
#embed "../../../schema/views/ops_policy_audit.sql"
};
static const unsigned char opsledger_schema_sql_81[] = {
#embed "../../../schema/views/ops_policy_history.sql"
};
static const unsigned char opsledger_schema_sql_82[] = {
#embed "../../../schema/views/ops_proposal_votes.sql"
};
static const unsigned char opsledger_schema_sql_83[] = {
#embed "../../../schema/views/ops_radar.sql"
};
static const unsigned char opsledger_schema_sql_84[] = {
#embed "../../../schema/views/ops_step_dead_letters.sql"
};
static const unsigned char opsledger_schema_sql_85[] = {
#embed "../../../schema/guards/append_only.sql"
};
static const unsigned char opsledger_schema_sql_86[] = {
#embed "../../../schema/guards/capture.sql"
};
static const unsigned char opsledger_schema_sql_87[] = {
#embed "../../../schema/guards/frozen_ddl.sql"
};
static const unsigned char opsledger_schema_sql_88[] = {
#embed "../../../schema/guards/grants.sql"
};
static const unsigned char opsledger_schema_sql_89[] = {
#embed "../../../schema/guards/partitions.sql"
};
static const unsigned char opsledger_schema_sql_90[] = {
#embed "../../../schema/guards/permit_ends.sql"
};

static const opsledger_schema_file opsledger_schema_sql_files[] = {
  {"migrations/0001_roles.sql", opsledger_schema_sql_0, sizeof opsledger_schema_sql_0},
  {"migrations/0002_ledger.sql", opsledger_schema_sql_1, sizeof opsledger_schema_sql_1},
  {"migrations/0003_tables.sql", opsledger_schema_sql_2, sizeof opsledger_schema_sql_2},
  {"migrations/0004_log.sql", opsledger_schema_sql_3, sizeof opsledger_schema_sql_3},
  {"migrations/0005_capture.sql", opsledger_schema_sql_4, sizeof opsledger_schema_sql_4},
  {"migrations/0006_archive.sql", opsledger_schema_sql_5, sizeof opsledger_schema_sql_5},
  {"migrations/0007_loop.sql", opsledger_schema_sql_6, sizeof opsledger_schema_sql_6},
  {"functions/capture/capture_columns.sql", opsledger_schema_sql_7, sizeof opsledger_schema_sql_7},
  {"functions/capture/capture_encode.sql", opsledger_schema_sql_8, sizeof opsledger_schema_sql_8},
  {"functions/capture/capture_is_own.sql", opsledger_schema_sql_9, sizeof opsledger_schema_sql_9},
  {"functions/capture/capture_move.sql", opsledger_schema_sql_10, sizeof opsledger_schema_sql_10},
  {"functions/capture/capture_planner.sql", opsledger_schema_sql_11, sizeof opsledger_schema_sql_11},
  {"functions/capture/capture_recorded.sql", opsledger_schema_sql_12, sizeof opsledger_schema_sql_12},
  {"functions/capture/capture_tables.sql", opsledger_schema_sql_13, sizeof opsledger_schema_sql_13},
  {"functions/capture/guard_tables.sql", opsledger_schema_sql_14, sizeof opsledger_schema_sql_14},
  {"functions/capture/have_capture.sql", opsledger_schema_sql_15, sizeof opsledger_schema_sql_15},
  {"functions/capture/have_trigger.sql", opsledger_schema_sql_16, sizeof opsledger_schema_sql_16},
  {"functions/capture/ignore_insert.sql", opsledger_schema_sql_17, sizeof opsledger_schema_sql_17},
  {"functions/capture/table_faults.sql", opsledger_schema_sql_18, sizeof opsledger_schema_sql_18},
  {"functions/capture/write_vote.sql", opsledger_schema_sql_19, sizeof opsledger_schema_sql_19},
  {"functions/log/add_partitions.sql", opsledger_schema_sql_20, sizeof opsledger_schema_sql_20},
  {"functions/log/allocate_entry.sql", opsledger_schema_sql_21, sizeof opsledger_schema_sql_21},
  {"functions/log/append_agent_event.sql", opsledger_schema_sql_22, sizeof opsledger_schema_sql_22},
  {"functions/log/appends_in_flight.sql", opsledger_schema_sql_23, sizeof opsledger_schema_sql_23},
  {"functions/log/expect_rows.sql", opsledger_schema_sql_24, sizeof opsledger_schema_sql_24},
  {"functions/log/instance.sql", opsledger_schema_sql_25, sizeof opsledger_schema_sql_25},
  {"functions/log/json_whole.sql", opsledger_schema_sql_26, sizeof opsledger_schema_sql_26},
  {"functions/log/make_bookkeeping.sql", opsledger_schema_sql_27, sizeof opsledger_schema_sql_27},
  {"functions/log/now.sql", opsledger_schema_sql_28, sizeof opsledger_schema_sql_28},
  {"functions/log/refuse_change.sql", opsledger_schema_sql_29, sizeof opsledger_schema_sql_29},
  {"functions/log/refuse_concurrent_ddl.sql", opsledger_schema_sql_30, sizeof opsledger_schema_sql_30},
  {"functions/log/refuse_ddl.sql", opsledger_schema_sql_31, sizeof opsledger_schema_sql_31},
  {"functions/log/refuse_drop.sql", opsledger_schema_sql_32, sizeof opsledger_schema_sql_32},
  {"functions/log/repair_guarded.sql", opsledger_schema_sql_33, sizeof opsledger_schema_sql_33},
  {"functions/log/seal.sql", opsledger_schema_sql_34, sizeof opsledger_schema_sql_34},
  {"functions/log/sealed.sql", opsledger_schema_sql_35, sizeof opsledger_schema_sql_35},
  {"functions/log/server_run.sql", opsledger_schema_sql_36, sizeof opsledger_schema_sql_36},
  {"functions/log/show_bound.sql", opsledger_schema_sql_37, sizeof opsledger_schema_sql_37},
  {"functions/log/task_leases.sql", opsledger_schema_sql_38, sizeof opsledger_schema_sql_38},
  {"functions/log/uuid_v5.sql", opsledger_schema_sql_39, sizeof opsledger_schema_sql_39},
  {"functions/predecessor/auto_approval_refusal.sql", opsledger_schema_sql_40, sizeof opsledger_schema_sql_40},
  {"functions/predecessor/condition_holds.sql", opsledger_schema_sql_41, sizeof opsledger_schema_sql_41},
  {"functions/predecessor/executors.sql", opsledger_schema_sql_42, sizeof opsledger_schema_sql_42},
  {"functions/predecessor/fail_attempt.sql", opsledger_schema_sql_43, sizeof opsledger_schema_sql_43},
  {"functions/predecessor/fail_mission.sql", opsledger_schema_sql_44, sizeof opsledger_schema_sql_44},
  {"functions/predecessor/gate.sql", opsledger_schema_sql_45, sizeof opsledger_schema_sql_45},
  {"functions/predecessor/halted.sql", opsledger_schema_sql_46, sizeof opsledger_schema_sql_46},
  {"functions/predecessor/next_step.sql", opsledger_schema_sql_47, sizeof opsledger_schema_sql_47},
  {"functions/predecessor/ops_cast_vote.sql", opsledger_schema_sql_48, sizeof opsledger_schema_sql_48},
  {"functions/predecessor/ops_check_consensus.sql", opsledger_schema_sql_49, sizeof opsledger_schema_sql_49},
  {"functions/predecessor/ops_claim_next_step.sql", opsledger_schema_sql_50, sizeof opsledger_schema_sql_50},
  {"functions/predecessor/ops_create_mission_from_proposal.sql", opsledger_schema_sql_51, sizeof opsledger_schema_sql_51},
  {"functions/predecessor/ops_create_proposal_and_maybe_autoapprove.sql", opsledger_schema_sql_52, sizeof opsledger_schema_sql_52},
  {"functions/predecessor/ops_extract_step_kinds.sql", opsledger_schema_sql_53, sizeof opsledger_schema_sql_53},
  {"functions/predecessor/ops_gate_proposal.sql", opsledger_schema_sql_54, sizeof opsledger_schema_sql_54},
  {"functions/predecessor/ops_is_auto_approvable.sql", opsledger_schema_sql_55, sizeof opsledger_schema_sql_55},
  {"functions/predecessor/ops_maybe_finalize_mission.sql", opsledger_schema_sql_56, sizeof opsledger_schema_sql_56},
  {"functions/predecessor/ops_recover_expired_leases.sql", opsledger_schema_sql_57, sizeof opsledger_schema_sql_57},
  {"functions/predecessor/ops_recover_stale_steps.sql", opsledger_schema_sql_58, sizeof opsledger_schema_sql_58},
  {"functions/predecessor/ops_set_updated_at.sql", opsledger_schema_sql_59, sizeof opsledger_schema_sql_59},
  {"functions/predecessor/policy_fault.sql", opsledger_schema_sql_60, sizeof opsledger_schema_sql_60},
  {"functions/predecessor/policy_field_fits.sql", opsledger_schema_sql_61, sizeof opsledger_schema_sql_61},
  {"functions/predecessor/recover_steps.sql", opsledger_schema_sql_62, sizeof opsledger_schema_sql_62},
  {"functions/predecessor/report_outcome.sql", opsledger_schema_sql_63, sizeof opsledger_schema_sql_63},
  {"functions/predecessor/require_read_committed.sql", opsledger_schema_sql_64, sizeof opsledger_schema_sql_64},
  {"functions/predecessor/submit.sql", opsledger_schema_sql_65, sizeof opsledger_schema_sql_65},
  {"functions/predecessor/template_steps.sql", opsledger_schema_sql_66, sizeof opsledger_schema_sql_66},
  {"functions/predecessor/vote_rules.sql", opsledger_schema_sql_67, sizeof opsledger_schema_sql_67},
  {"functions/predecessor/worker_rules.sql", opsledger_schema_sql_68, sizeof opsledger_schema_sql_68},
  {"functions/store/confirmed_archived_partitions.sql", opsledger_schema_sql_69, sizeof opsledger_schema_sql_69},
  {"functions/store/confirmed_erasures.sql", opsledger_schema_sql_70, sizeof opsledger_schema_sql_70},
  {"functions/store/copies_of.sql", opsledger_schema_sql_71, sizeof opsledger_schema_sql_71},
  {"functions/store/drop_partition.sql", opsledger_schema_sql_72, sizeof opsledger_schema_sql_72},
  {"functions/store/erase_content.sql", opsledger_schema_sql_73, sizeof opsledger_schema_sql_73},
  {"functions/store/forget_statistics.sql", opsledger_schema_sql_74, sizeof opsledger_schema_sql_74},
  {"functions/store/open_times.sql", opsledger_schema_sql_75, sizeof opsledger_schema_sql_75},
  {"functions/store/record_root.sql", opsledger_schema_sql_76, sizeof opsledger_schema_sql_76},
  {"functions/store/said_by.sql", opsledger_schema_sql_77, sizeof opsledger_schema_sql_77},
  {"views/ledger_events_in_database.sql", opsledger_schema_sql_78, sizeof opsledger_schema_sql_78},
  {"views/ledger_policy_changes.sql", opsledger_schema_sql_79, sizeof opsledger_schema_sql_79},
  {"views/ops_policy_audit.sql", opsledger_schema_sql_80, sizeof opsledger_schema_sql_80},
  {"views/ops_policy_history.sql", opsledger_schema_sql_81, sizeof opsledger_schema_sql_81},
  {"views/ops_proposal_votes.sql", opsledger_schema_sql_82, sizeof opsledger_schema_sql_82},
  {"views/ops_radar.sql", opsledger_schema_sql_83, sizeof opsledger_schema_sql_83},
  {"views/ops_step_dead_letters.sql", opsledger_schema_sql_84, sizeof opsledger_schema_sql_84},
  {"guards/append_only.sql", opsledger_schema_sql_85, sizeof opsledger_schema_sql_85},
  {"guards/capture.sql", opsledger_schema_sql_86, sizeof opsledger_schema_sql_86},
  {"guards/frozen_ddl.sql", opsledger_schema_sql_87, sizeof opsledger_schema_sql_87},
  {"guards/grants.sql", opsledger_schema_sql_88, sizeof opsledger_schema_sql_88},
  {"guards/partitions.sql", opsledger_schema_sql_89, sizeof opsledger_schema_sql_89},
  {"guards/permit_ends.sql", opsledger_schema_sql_90, sizeof opsledger_schema_sql_90},
};
const opsledger_schema_file *opsledger_schema_sql(void) { return opsledger_schema_sql_files; }
size_t opsledger_schema_sql_count(void) { return sizeof opsledger_schema_sql_files / sizeof opsledger_schema_sql_files[0]; }

static const unsigned char opsledger_schema_policies_0[] = {
#embed "../../../schema/policies/agent_roles.json"
};
static const unsigned char opsledger_schema_policies_1[] = {
#embed "../../../schema/policies/auto_approve.json"
};
static const unsigned char opsledger_schema_policies_2[] = {
#embed "../../../schema/policies/loop.json"
};
static const unsigned char opsledger_schema_policies_3[] = {
#embed "../../../schema/policies/proposal_caps.json"
};
static const unsigned char opsledger_schema_policies_4[] = {
#embed "../../../schema/policies/reaction_matrix.json"
};
static const unsigned char opsledger_schema_policies_5[] = {
#embed "../../../schema/policies/retention.json"
};
static const unsigned char opsledger_schema_policies_6[] = {
#embed "../../../schema/policies/voting_policy.json"
};
static const unsigned char opsledger_schema_policies_7[] = {
#embed "../../../schema/policies/worker_policy.json"
};

static const opsledger_schema_file opsledger_schema_policies_files[] = {
  {"policies/agent_roles.json", opsledger_schema_policies_0, sizeof opsledger_schema_policies_0},
  {"policies/auto_approve.json", opsledger_schema_policies_1, sizeof opsledger_schema_policies_1},
  {"policies/loop.json", opsledger_schema_policies_2, sizeof opsledger_schema_policies_2},
  {"policies/proposal_caps.json", opsledger_schema_policies_3, sizeof opsledger_schema_policies_3},
  {"policies/reaction_matrix.json", opsledger_schema_policies_4, sizeof opsledger_schema_policies_4},
  {"policies/retention.json", opsledger_schema_policies_5, sizeof opsledger_schema_policies_5},
  {"policies/voting_policy.json", opsledger_schema_policies_6, sizeof opsledger_schema_policies_6},
  {"policies/worker_policy.json", opsledger_schema_policies_7, sizeof opsledger_schema_policies_7},
};
const opsledger_schema_file *opsledger_schema_policies(void) { return opsledger_schema_policies_files; }
size_t opsledger_schema_policies_count(void) { return sizeof opsledger_schema_policies_files / sizeof opsledger_schema_policies_files[0]; }
