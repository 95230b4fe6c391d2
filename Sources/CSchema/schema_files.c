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
#embed "../../schema/migrations/0006_cheaper_appends.sql"
};
static const unsigned char opsledger_schema_sql_5[] = {
#embed "../../schema/migrations/0007_ready_steps.sql"
};
static const unsigned char opsledger_schema_sql_6[] = {
#embed "../../schema/migrations/0008_pattern_cooldowns.sql"
};
static const unsigned char opsledger_schema_sql_7[] = {
#embed "../../schema/migrations/0009_capture.sql"
};
static const unsigned char opsledger_schema_sql_8[] = {
#embed "../../schema/migrations/0010_fewer_indexes.sql"
};
static const unsigned char opsledger_schema_sql_9[] = {
#embed "../../schema/migrations/0011_client_roles.sql"
};
static const unsigned char opsledger_schema_sql_10[] = {
#embed "../../schema/migrations/0012_attention.sql"
};
static const unsigned char opsledger_schema_sql_11[] = {
#embed "../../schema/migrations/0013_home.sql"
};
static const unsigned char opsledger_schema_sql_12[] = {
#embed "../../schema/migrations/0014_roots.sql"
};
static const unsigned char opsledger_schema_sql_13[] = {
#embed "../../schema/migrations/0015_departed.sql"
};
static const unsigned char opsledger_schema_sql_14[] = {
#embed "../../schema/migrations/0016_holds.sql"
};
static const unsigned char opsledger_schema_sql_15[] = {
#embed "../../schema/migrations/0017_erasure.sql"
};
static const unsigned char opsledger_schema_sql_16[] = {
#embed "../../schema/migrations/0018_retention.sql"
};
static const unsigned char opsledger_schema_sql_17[] = {
#embed "../../schema/migrations/0019_shorter_check.sql"
};
static const unsigned char opsledger_schema_sql_18[] = {
#embed "../../schema/migrations/0020_writer.sql"
};
static const unsigned char opsledger_schema_sql_19[] = {
#embed "../../schema/migrations/0021_room_in_runs.sql"
};
static const unsigned char opsledger_schema_sql_20[] = {
#embed "../../schema/migrations/0022_passed_over.sql"
};
static const unsigned char opsledger_schema_sql_21[] = {
#embed "../../schema/migrations/0023_runners.sql"
};
static const unsigned char opsledger_schema_sql_22[] = {
#embed "../../schema/functions/add_partitions.sql"
};
static const unsigned char opsledger_schema_sql_23[] = {
#embed "../../schema/functions/append_report.sql"
};
static const unsigned char opsledger_schema_sql_24[] = {
#embed "../../schema/functions/appends_in_flight.sql"
};
static const unsigned char opsledger_schema_sql_25[] = {
#embed "../../schema/functions/believed_departed.sql"
};
static const unsigned char opsledger_schema_sql_26[] = {
#embed "../../schema/functions/believed_erasures.sql"
};
static const unsigned char opsledger_schema_sql_27[] = {
#embed "../../schema/functions/capture_columns.sql"
};
static const unsigned char opsledger_schema_sql_28[] = {
#embed "../../schema/functions/capture_encode.sql"
};
static const unsigned char opsledger_schema_sql_29[] = {
#embed "../../schema/functions/capture_move.sql"
};
static const unsigned char opsledger_schema_sql_30[] = {
#embed "../../schema/functions/capture_recorded.sql"
};
static const unsigned char opsledger_schema_sql_31[] = {
#embed "../../schema/functions/capture_tables.sql"
};
static const unsigned char opsledger_schema_sql_32[] = {
#embed "../../schema/functions/condition_holds.sql"
};
static const unsigned char opsledger_schema_sql_33[] = {
#embed "../../schema/functions/copies_of.sql"
};
static const unsigned char opsledger_schema_sql_34[] = {
#embed "../../schema/functions/draw.sql"
};
static const unsigned char opsledger_schema_sql_35[] = {
#embed "../../schema/functions/drop_partition.sql"
};
static const unsigned char opsledger_schema_sql_36[] = {
#embed "../../schema/functions/erase_content.sql"
};
static const unsigned char opsledger_schema_sql_37[] = {
#embed "../../schema/functions/executors.sql"
};
static const unsigned char opsledger_schema_sql_38[] = {
#embed "../../schema/functions/expect_rows.sql"
};
static const unsigned char opsledger_schema_sql_39[] = {
#embed "../../schema/functions/fail_attempt.sql"
};
static const unsigned char opsledger_schema_sql_40[] = {
#embed "../../schema/functions/fail_mission.sql"
};
static const unsigned char opsledger_schema_sql_41[] = {
#embed "../../schema/functions/forget_statistics.sql"
};
static const unsigned char opsledger_schema_sql_42[] = {
#embed "../../schema/functions/gate.sql"
};
static const unsigned char opsledger_schema_sql_43[] = {
#embed "../../schema/functions/guard_tables.sql"
};
static const unsigned char opsledger_schema_sql_44[] = {
#embed "../../schema/functions/halted.sql"
};
static const unsigned char opsledger_schema_sql_45[] = {
#embed "../../schema/functions/have_capture.sql"
};
static const unsigned char opsledger_schema_sql_46[] = {
#embed "../../schema/functions/have_trigger.sql"
};
static const unsigned char opsledger_schema_sql_47[] = {
#embed "../../schema/functions/home.sql"
};
static const unsigned char opsledger_schema_sql_48[] = {
#embed "../../schema/functions/ignore_insert.sql"
};
static const unsigned char opsledger_schema_sql_49[] = {
#embed "../../schema/functions/json_whole.sql"
};
static const unsigned char opsledger_schema_sql_50[] = {
#embed "../../schema/functions/make_books.sql"
};
static const unsigned char opsledger_schema_sql_51[] = {
#embed "../../schema/functions/mend_guarded.sql"
};
static const unsigned char opsledger_schema_sql_52[] = {
#embed "../../schema/functions/next_step.sql"
};
static const unsigned char opsledger_schema_sql_53[] = {
#embed "../../schema/functions/note_root.sql"
};
static const unsigned char opsledger_schema_sql_54[] = {
#embed "../../schema/functions/now.sql"
};
static const unsigned char opsledger_schema_sql_55[] = {
#embed "../../schema/functions/objection.sql"
};
static const unsigned char opsledger_schema_sql_56[] = {
#embed "../../schema/functions/open_times.sql"
};
static const unsigned char opsledger_schema_sql_57[] = {
#embed "../../schema/functions/ops_cast_vote.sql"
};
static const unsigned char opsledger_schema_sql_58[] = {
#embed "../../schema/functions/ops_check_consensus.sql"
};
static const unsigned char opsledger_schema_sql_59[] = {
#embed "../../schema/functions/ops_claim_next_step.sql"
};
static const unsigned char opsledger_schema_sql_60[] = {
#embed "../../schema/functions/ops_create_mission_from_proposal.sql"
};
static const unsigned char opsledger_schema_sql_61[] = {
#embed "../../schema/functions/ops_create_proposal_and_maybe_autoapprove.sql"
};
static const unsigned char opsledger_schema_sql_62[] = {
#embed "../../schema/functions/ops_extract_step_kinds.sql"
};
static const unsigned char opsledger_schema_sql_63[] = {
#embed "../../schema/functions/ops_gate_proposal.sql"
};
static const unsigned char opsledger_schema_sql_64[] = {
#embed "../../schema/functions/ops_is_auto_approvable.sql"
};
static const unsigned char opsledger_schema_sql_65[] = {
#embed "../../schema/functions/ops_maybe_finalize_mission.sql"
};
static const unsigned char opsledger_schema_sql_66[] = {
#embed "../../schema/functions/ops_recover_expired_leases.sql"
};
static const unsigned char opsledger_schema_sql_67[] = {
#embed "../../schema/functions/ops_recover_stale_steps.sql"
};
static const unsigned char opsledger_schema_sql_68[] = {
#embed "../../schema/functions/ops_set_updated_at.sql"
};
static const unsigned char opsledger_schema_sql_69[] = {
#embed "../../schema/functions/policy_fault.sql"
};
static const unsigned char opsledger_schema_sql_70[] = {
#embed "../../schema/functions/policy_field_fits.sql"
};
static const unsigned char opsledger_schema_sql_71[] = {
#embed "../../schema/functions/recover_steps.sql"
};
static const unsigned char opsledger_schema_sql_72[] = {
#embed "../../schema/functions/refuse_change.sql"
};
static const unsigned char opsledger_schema_sql_73[] = {
#embed "../../schema/functions/refuse_concurrent_ddl.sql"
};
static const unsigned char opsledger_schema_sql_74[] = {
#embed "../../schema/functions/refuse_ddl.sql"
};
static const unsigned char opsledger_schema_sql_75[] = {
#embed "../../schema/functions/refuse_drop.sql"
};
static const unsigned char opsledger_schema_sql_76[] = {
#embed "../../schema/functions/report_own.sql"
};
static const unsigned char opsledger_schema_sql_77[] = {
#embed "../../schema/functions/require_read_committed.sql"
};
static const unsigned char opsledger_schema_sql_78[] = {
#embed "../../schema/functions/runners.sql"
};
static const unsigned char opsledger_schema_sql_79[] = {
#embed "../../schema/functions/said_by.sql"
};
static const unsigned char opsledger_schema_sql_80[] = {
#embed "../../schema/functions/seal.sql"
};
static const unsigned char opsledger_schema_sql_81[] = {
#embed "../../schema/functions/sealed.sql"
};
static const unsigned char opsledger_schema_sql_82[] = {
#embed "../../schema/functions/server_run.sql"
};
static const unsigned char opsledger_schema_sql_83[] = {
#embed "../../schema/functions/show_bound.sql"
};
static const unsigned char opsledger_schema_sql_84[] = {
#embed "../../schema/functions/submit.sql"
};
static const unsigned char opsledger_schema_sql_85[] = {
#embed "../../schema/functions/table_faults.sql"
};
static const unsigned char opsledger_schema_sql_86[] = {
#embed "../../schema/functions/template_steps.sql"
};
static const unsigned char opsledger_schema_sql_87[] = {
#embed "../../schema/functions/uuid_v5.sql"
};
static const unsigned char opsledger_schema_sql_88[] = {
#embed "../../schema/functions/vote_rules.sql"
};
static const unsigned char opsledger_schema_sql_89[] = {
#embed "../../schema/functions/worker_rules.sql"
};
static const unsigned char opsledger_schema_sql_90[] = {
#embed "../../schema/functions/write_vote.sql"
};
static const unsigned char opsledger_schema_sql_91[] = {
#embed "../../schema/views/ledger_events_at_hand.sql"
};
static const unsigned char opsledger_schema_sql_92[] = {
#embed "../../schema/views/ledger_policy_changes.sql"
};
static const unsigned char opsledger_schema_sql_93[] = {
#embed "../../schema/views/ops_policy_audit.sql"
};
static const unsigned char opsledger_schema_sql_94[] = {
#embed "../../schema/views/ops_policy_history.sql"
};
static const unsigned char opsledger_schema_sql_95[] = {
#embed "../../schema/views/ops_proposal_votes.sql"
};
static const unsigned char opsledger_schema_sql_96[] = {
#embed "../../schema/views/ops_radar.sql"
};
static const unsigned char opsledger_schema_sql_97[] = {
#embed "../../schema/views/ops_step_dead_letters.sql"
};
static const unsigned char opsledger_schema_sql_98[] = {
#embed "../../schema/guards/append_only.sql"
};
static const unsigned char opsledger_schema_sql_99[] = {
#embed "../../schema/guards/capture.sql"
};
static const unsigned char opsledger_schema_sql_100[] = {
#embed "../../schema/guards/frozen_ddl.sql"
};
static const unsigned char opsledger_schema_sql_101[] = {
#embed "../../schema/guards/grants.sql"
};
static const unsigned char opsledger_schema_sql_102[] = {
#embed "../../schema/guards/partitions.sql"
};
static const unsigned char opsledger_schema_sql_103[] = {
#embed "../../schema/guards/permit_ends.sql"
};

static const opsledger_schema_file opsledger_schema_sql_files[] = {
  {"migrations/0001_roles.sql", opsledger_schema_sql_0, sizeof opsledger_schema_sql_0},
  {"migrations/0002_ledger.sql", opsledger_schema_sql_1, sizeof opsledger_schema_sql_1},
  {"migrations/0003_tables.sql", opsledger_schema_sql_2, sizeof opsledger_schema_sql_2},
  {"migrations/0004_log.sql", opsledger_schema_sql_3, sizeof opsledger_schema_sql_3},
  {"migrations/0006_cheaper_appends.sql", opsledger_schema_sql_4, sizeof opsledger_schema_sql_4},
  {"migrations/0007_ready_steps.sql", opsledger_schema_sql_5, sizeof opsledger_schema_sql_5},
  {"migrations/0008_pattern_cooldowns.sql", opsledger_schema_sql_6, sizeof opsledger_schema_sql_6},
  {"migrations/0009_capture.sql", opsledger_schema_sql_7, sizeof opsledger_schema_sql_7},
  {"migrations/0010_fewer_indexes.sql", opsledger_schema_sql_8, sizeof opsledger_schema_sql_8},
  {"migrations/0011_client_roles.sql", opsledger_schema_sql_9, sizeof opsledger_schema_sql_9},
  {"migrations/0012_attention.sql", opsledger_schema_sql_10, sizeof opsledger_schema_sql_10},
  {"migrations/0013_home.sql", opsledger_schema_sql_11, sizeof opsledger_schema_sql_11},
  {"migrations/0014_roots.sql", opsledger_schema_sql_12, sizeof opsledger_schema_sql_12},
  {"migrations/0015_departed.sql", opsledger_schema_sql_13, sizeof opsledger_schema_sql_13},
  {"migrations/0016_holds.sql", opsledger_schema_sql_14, sizeof opsledger_schema_sql_14},
  {"migrations/0017_erasure.sql", opsledger_schema_sql_15, sizeof opsledger_schema_sql_15},
  {"migrations/0018_retention.sql", opsledger_schema_sql_16, sizeof opsledger_schema_sql_16},
  {"migrations/0019_shorter_check.sql", opsledger_schema_sql_17, sizeof opsledger_schema_sql_17},
  {"migrations/0020_writer.sql", opsledger_schema_sql_18, sizeof opsledger_schema_sql_18},
  {"migrations/0021_room_in_runs.sql", opsledger_schema_sql_19, sizeof opsledger_schema_sql_19},
  {"migrations/0022_passed_over.sql", opsledger_schema_sql_20, sizeof opsledger_schema_sql_20},
  {"migrations/0023_runners.sql", opsledger_schema_sql_21, sizeof opsledger_schema_sql_21},
  {"functions/add_partitions.sql", opsledger_schema_sql_22, sizeof opsledger_schema_sql_22},
  {"functions/append_report.sql", opsledger_schema_sql_23, sizeof opsledger_schema_sql_23},
  {"functions/appends_in_flight.sql", opsledger_schema_sql_24, sizeof opsledger_schema_sql_24},
  {"functions/believed_departed.sql", opsledger_schema_sql_25, sizeof opsledger_schema_sql_25},
  {"functions/believed_erasures.sql", opsledger_schema_sql_26, sizeof opsledger_schema_sql_26},
  {"functions/capture_columns.sql", opsledger_schema_sql_27, sizeof opsledger_schema_sql_27},
  {"functions/capture_encode.sql", opsledger_schema_sql_28, sizeof opsledger_schema_sql_28},
  {"functions/capture_move.sql", opsledger_schema_sql_29, sizeof opsledger_schema_sql_29},
  {"functions/capture_recorded.sql", opsledger_schema_sql_30, sizeof opsledger_schema_sql_30},
  {"functions/capture_tables.sql", opsledger_schema_sql_31, sizeof opsledger_schema_sql_31},
  {"functions/condition_holds.sql", opsledger_schema_sql_32, sizeof opsledger_schema_sql_32},
  {"functions/copies_of.sql", opsledger_schema_sql_33, sizeof opsledger_schema_sql_33},
  {"functions/draw.sql", opsledger_schema_sql_34, sizeof opsledger_schema_sql_34},
  {"functions/drop_partition.sql", opsledger_schema_sql_35, sizeof opsledger_schema_sql_35},
  {"functions/erase_content.sql", opsledger_schema_sql_36, sizeof opsledger_schema_sql_36},
  {"functions/executors.sql", opsledger_schema_sql_37, sizeof opsledger_schema_sql_37},
  {"functions/expect_rows.sql", opsledger_schema_sql_38, sizeof opsledger_schema_sql_38},
  {"functions/fail_attempt.sql", opsledger_schema_sql_39, sizeof opsledger_schema_sql_39},
  {"functions/fail_mission.sql", opsledger_schema_sql_40, sizeof opsledger_schema_sql_40},
  {"functions/forget_statistics.sql", opsledger_schema_sql_41, sizeof opsledger_schema_sql_41},
  {"functions/gate.sql", opsledger_schema_sql_42, sizeof opsledger_schema_sql_42},
  {"functions/guard_tables.sql", opsledger_schema_sql_43, sizeof opsledger_schema_sql_43},
  {"functions/halted.sql", opsledger_schema_sql_44, sizeof opsledger_schema_sql_44},
  {"functions/have_capture.sql", opsledger_schema_sql_45, sizeof opsledger_schema_sql_45},
  {"functions/have_trigger.sql", opsledger_schema_sql_46, sizeof opsledger_schema_sql_46},
  {"functions/home.sql", opsledger_schema_sql_47, sizeof opsledger_schema_sql_47},
  {"functions/ignore_insert.sql", opsledger_schema_sql_48, sizeof opsledger_schema_sql_48},
  {"functions/json_whole.sql", opsledger_schema_sql_49, sizeof opsledger_schema_sql_49},
  {"functions/make_books.sql", opsledger_schema_sql_50, sizeof opsledger_schema_sql_50},
  {"functions/mend_guarded.sql", opsledger_schema_sql_51, sizeof opsledger_schema_sql_51},
  {"functions/next_step.sql", opsledger_schema_sql_52, sizeof opsledger_schema_sql_52},
  {"functions/note_root.sql", opsledger_schema_sql_53, sizeof opsledger_schema_sql_53},
  {"functions/now.sql", opsledger_schema_sql_54, sizeof opsledger_schema_sql_54},
  {"functions/objection.sql", opsledger_schema_sql_55, sizeof opsledger_schema_sql_55},
  {"functions/open_times.sql", opsledger_schema_sql_56, sizeof opsledger_schema_sql_56},
  {"functions/ops_cast_vote.sql", opsledger_schema_sql_57, sizeof opsledger_schema_sql_57},
  {"functions/ops_check_consensus.sql", opsledger_schema_sql_58, sizeof opsledger_schema_sql_58},
  {"functions/ops_claim_next_step.sql", opsledger_schema_sql_59, sizeof opsledger_schema_sql_59},
  {"functions/ops_create_mission_from_proposal.sql", opsledger_schema_sql_60, sizeof opsledger_schema_sql_60},
  {"functions/ops_create_proposal_and_maybe_autoapprove.sql", opsledger_schema_sql_61, sizeof opsledger_schema_sql_61},
  {"functions/ops_extract_step_kinds.sql", opsledger_schema_sql_62, sizeof opsledger_schema_sql_62},
  {"functions/ops_gate_proposal.sql", opsledger_schema_sql_63, sizeof opsledger_schema_sql_63},
  {"functions/ops_is_auto_approvable.sql", opsledger_schema_sql_64, sizeof opsledger_schema_sql_64},
  {"functions/ops_maybe_finalize_mission.sql", opsledger_schema_sql_65, sizeof opsledger_schema_sql_65},
  {"functions/ops_recover_expired_leases.sql", opsledger_schema_sql_66, sizeof opsledger_schema_sql_66},
  {"functions/ops_recover_stale_steps.sql", opsledger_schema_sql_67, sizeof opsledger_schema_sql_67},
  {"functions/ops_set_updated_at.sql", opsledger_schema_sql_68, sizeof opsledger_schema_sql_68},
  {"functions/policy_fault.sql", opsledger_schema_sql_69, sizeof opsledger_schema_sql_69},
  {"functions/policy_field_fits.sql", opsledger_schema_sql_70, sizeof opsledger_schema_sql_70},
  {"functions/recover_steps.sql", opsledger_schema_sql_71, sizeof opsledger_schema_sql_71},
  {"functions/refuse_change.sql", opsledger_schema_sql_72, sizeof opsledger_schema_sql_72},
  {"functions/refuse_concurrent_ddl.sql", opsledger_schema_sql_73, sizeof opsledger_schema_sql_73},
  {"functions/refuse_ddl.sql", opsledger_schema_sql_74, sizeof opsledger_schema_sql_74},
  {"functions/refuse_drop.sql", opsledger_schema_sql_75, sizeof opsledger_schema_sql_75},
  {"functions/report_own.sql", opsledger_schema_sql_76, sizeof opsledger_schema_sql_76},
  {"functions/require_read_committed.sql", opsledger_schema_sql_77, sizeof opsledger_schema_sql_77},
  {"functions/runners.sql", opsledger_schema_sql_78, sizeof opsledger_schema_sql_78},
  {"functions/said_by.sql", opsledger_schema_sql_79, sizeof opsledger_schema_sql_79},
  {"functions/seal.sql", opsledger_schema_sql_80, sizeof opsledger_schema_sql_80},
  {"functions/sealed.sql", opsledger_schema_sql_81, sizeof opsledger_schema_sql_81},
  {"functions/server_run.sql", opsledger_schema_sql_82, sizeof opsledger_schema_sql_82},
  {"functions/show_bound.sql", opsledger_schema_sql_83, sizeof opsledger_schema_sql_83},
  {"functions/submit.sql", opsledger_schema_sql_84, sizeof opsledger_schema_sql_84},
  {"functions/table_faults.sql", opsledger_schema_sql_85, sizeof opsledger_schema_sql_85},
  {"functions/template_steps.sql", opsledger_schema_sql_86, sizeof opsledger_schema_sql_86},
  {"functions/uuid_v5.sql", opsledger_schema_sql_87, sizeof opsledger_schema_sql_87},
  {"functions/vote_rules.sql", opsledger_schema_sql_88, sizeof opsledger_schema_sql_88},
  {"functions/worker_rules.sql", opsledger_schema_sql_89, sizeof opsledger_schema_sql_89},
  {"functions/write_vote.sql", opsledger_schema_sql_90, sizeof opsledger_schema_sql_90},
  {"views/ledger_events_at_hand.sql", opsledger_schema_sql_91, sizeof opsledger_schema_sql_91},
  {"views/ledger_policy_changes.sql", opsledger_schema_sql_92, sizeof opsledger_schema_sql_92},
  {"views/ops_policy_audit.sql", opsledger_schema_sql_93, sizeof opsledger_schema_sql_93},
  {"views/ops_policy_history.sql", opsledger_schema_sql_94, sizeof opsledger_schema_sql_94},
  {"views/ops_proposal_votes.sql", opsledger_schema_sql_95, sizeof opsledger_schema_sql_95},
  {"views/ops_radar.sql", opsledger_schema_sql_96, sizeof opsledger_schema_sql_96},
  {"views/ops_step_dead_letters.sql", opsledger_schema_sql_97, sizeof opsledger_schema_sql_97},
  {"guards/append_only.sql", opsledger_schema_sql_98, sizeof opsledger_schema_sql_98},
  {"guards/capture.sql", opsledger_schema_sql_99, sizeof opsledger_schema_sql_99},
  {"guards/frozen_ddl.sql", opsledger_schema_sql_100, sizeof opsledger_schema_sql_100},
  {"guards/grants.sql", opsledger_schema_sql_101, sizeof opsledger_schema_sql_101},
  {"guards/partitions.sql", opsledger_schema_sql_102, sizeof opsledger_schema_sql_102},
  {"guards/permit_ends.sql", opsledger_schema_sql_103, sizeof opsledger_schema_sql_103},
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
#embed "../../schema/policies/retention.json"
};
static const unsigned char opsledger_schema_policies_6[] = {
#embed "../../schema/policies/voting_policy.json"
};
static const unsigned char opsledger_schema_policies_7[] = {
#embed "../../schema/policies/worker_policy.json"
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
