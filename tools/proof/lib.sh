# Functions of the proofs: they read a ledger, change it behind its guards, and report what is untrue. Sourced, not run.
# tools/library.sh, which this file sources, starts and stops the cluster and the bucket.
#
# With --s3, a proof that takes it keeps its stores in a bucket of an object store on loopback (tools/s3_server.py).
# Sourcing this file takes the option off the proof's arguments, forgets the caller's databases, and changes to the
# repository's root.

set -euo pipefail
export LC_ALL=C
source "$(dirname "${BASH_SOURCE[0]}")/../library.sh"
forget_databases
cd "$root"

s3=
arguments=()
for argument in "$@"; do
    if [ "$argument" = --s3 ]; then s3=1; else arguments+=("$argument"); fi
done
set -- "${arguments[@]}"

# The eight tables of operators.
ops_tables=(ops_policy ops_mission_proposals ops_missions ops_mission_steps ops_agent_events ops_agent_reactions
    ops_action_runs ops_demand_radar)

# --- Messages

# say TEXT: one line of progress.
say() { printf '%s\n' "$*"; }

# fail TEXT: ends the proof, and says what is untrue.
fail() {
    printf 'UNTRUE: %s\n' "$*" >&2
    exit 1
}

# wait_until WHAT COMMAND…: waits until the command succeeds, and fails after five minutes. If the proof has a function
# `seen`, that prints more then.
wait_until() {
    local what=$1 end=$((SECONDS + 300))
    shift
    until "$@"; do
        if [ $SECONDS -ge $end ]; then
            ! declare -F seen >/dev/null || seen >&2
            fail "not within five minutes: $what"
        fi
        sleep 0.1
    done
}

# wait_for WHAT QUERY [OPTION…]: waits until the query answers t.
wait_for() { wait_until "$1" is_true "${@:2}"; }
is_true() { [ "$(ask "${@:2}" -c "$1")" = t ]; }

# --- The program

# build_program: sets opsledger to the program, built for release, or to the one that OPSLEDGER names.
build_program() {
    if [ -n "${OPSLEDGER:-}" ]; then opsledger=$(realpath "$OPSLEDGER"); else build_release; fi
}

# build_product NAME [OPTION…]: builds another program of the package, and sets product to its path.
build_product() {
    quietly "building $1" swift build --package-path "$root" "${@:2}" --product "$1" || fail "$1 does not build"
    product=$(swift build --package-path "$root" "${@:2}" --show-bin-path)/$1
}

# expect_exit STATUS COMMAND…: fails unless the command exits with STATUS. Its output is in $scratch/out and $scratch/err.
expect_exit() {
    local expected=$1 status=0
    shift
    "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
    [ "$status" = "$expected" ] || fail_with_output "exit $status, not $expected: $*"
}

# expect_out PATTERN WHY, expect_err PATTERN WHY: fails unless the last command's standard output, or standard error,
# matches the extended regular expression.
expect_out() { grep -qE -e "$1" "$scratch/out" || fail_with_output "$2"; }
expect_err() { grep -qE -e "$1" "$scratch/err" || fail_with_output "$2"; }

# fail_with_output TEXT: as fail, with the output of the last command.
fail_with_output() {
    cat "$scratch/out" "$scratch/err" >&2 2>/dev/null || true
    fail "$@"
}

# refused CODE WHAT COMMAND…: fails unless the command fails and prints the error code.
refused() {
    local code=$1 what=$2
    shift 2
    if "$@" >"$scratch/out" 2>"$scratch/err" </dev/null; then fail "$what went through"; fi
    grep -qE -e "$code" "$scratch/out" "$scratch/err" || fail_with_output "$what was refused, but not with $code"
}

# equals WHAT EXPECTED FOUND: fails unless both are the same.
equals() { [ "$2" = "$3" ] || fail "$1: $3, not $2"; }

# json FILTER [FILE]: prints what jq finds in the JSON of a file or of the input; fails if it finds nothing.
json() { jq -er "$@" || fail "no $1 in the JSON${2:+ of $2}"; }

# expect_json FILTER FILE: fails unless the filter is true for the JSON in the file.
expect_json() { jq -e "$1" "$2" >/dev/null || { cat "$2" >&2; fail "not so: $1"; }; }

# --- A ledger

# apply_schema DATABASE: makes a database, and applies the schema with psql.
apply_schema() {
    createdb "$1"
    schema_sql | psql -q -d "$1" -1 -v ON_ERROR_STOP=1
}
schema_sql() { (cd "$root/schema" && cat migrations/*.sql functions/*/*.sql views/*.sql guards/*.sql); }

# begin_ledger DATABASE: makes a database, begins a ledger in it, and sets PGDATABASE and OPS_DATABASE_URL to it. With
# --s3 it begins the bucket, too.
begin_ledger() {
    [ -z "$s3" ] || [ -n "${s3_pid:-}" ] || begin_bucket
    createdb "$1"
    export PGDATABASE=$1 OPS_DATABASE_URL
    OPS_DATABASE_URL=$(url "$1")
    "$opsledger" init >/dev/null
}

# new_database NAME: an empty database, in place of one of that name.
new_database() {
    dropdb --if-exists --force "$1" 2>/dev/null
    createdb "$1"
}

# copy_database FROM TO: a copy of a ledger that may be written to, in place of a database of that name.
copy_database() {
    dropdb --if-exists --force "$2" 2>/dev/null
    createdb -T "$1" "$2"
    ask -d "$2" -c 'SELECT ledger.adopt_instance(0)' >/dev/null
}

# make_login NAME ROLE…: creates a login that is a member of each opsledger_ROLE.
make_login() { ask -c "CREATE ROLE $1 LOGIN IN ROLE $(printf 'opsledger_%s,' "${@:2}" | sed 's/,$//')"; }

# ask [OPTION…]: runs SQL with psql, and prints plain rows; fails if a statement fails.
ask() { psql -X -Atq -v ON_ERROR_STOP=1 "$@"; }

# count FROM [OPTION…]: prints the number of rows: count "ops_missions WHERE status = 'failed'".
count() { ask "${@:2}" -c "SELECT count(*) FROM $1"; }

# set_policy KEY JSON: sets a policy by command.
set_policy() { "$opsledger" policy set "$1" --file - --why proof <<<"$2" >/dev/null; }

# emit SUMMARY [OPTION…]: reports an agent event that leads to a mission under the seeded matrix.
emit() {
    "$opsledger" event emit scout:find --data "{\"summary\": \"$1\", \"source\": \"scout\"}" "${@:2}" >/dev/null
}

# drain [OPTION…]: a heartbeat and a worker, each until there is nothing more to do.
drain() {
    "$opsledger" "$@" heartbeat --drain >/dev/null && "$opsledger" "$@" worker >/dev/null
}

# plan_digest: prints the digest of a new plan, for `retention apply --plan`. It waits, because missions that ended in the
# current second are in no plan.
plan_digest() {
    sleep 1.1
    "$opsledger" retention plan --json | json .digest
}

# same_ledger A B ENTRY: fails unless two databases have the same log up to an entry, except what a restore records of
# itself, and the same tables.
same_ledger() {
    local database table
    for database in "$1" "$2"; do
        ask -d "$database" -c "SELECT e::text FROM ledger.events AS e WHERE e.entry <= $3 AND e.type NOT IN
            ('ledger.restored', 'ledger.moved') ORDER BY e.entry, e.index" | sha256sum >"$scratch/log.$database"
        for table in "${ops_tables[@]}"; do
            ask -d "$database" -c "SELECT t::text FROM $table AS t ORDER BY 1"
        done | sha256sum >"$scratch/tables.$database"
    done
    cmp "$scratch/log.$1" "$scratch/log.$2" || fail "the logs of $1 and $2 differ"
    cmp "$scratch/tables.$1" "$scratch/tables.$2" || fail "the tables of $1 and $2 differ"
}

# --- Behind the guards

# SQL that switches the event triggers off, and on again: ask -c "$guards_off" -c … -c "$guards_on".
guards_off="SET client_min_messages = error; DO \$\$ DECLARE name text; BEGIN FOR name IN SELECT evtname FROM pg_event_trigger
    WHERE evtname LIKE 'opsledger%' LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', name); END LOOP; END \$\$;"
guards_on=${guards_off/DISABLE/ENABLE ALWAYS}

# forge [OPTION…]: runs the SQL on its input as a superuser, without triggers, foreign keys and event triggers, and
# switches them on again in the same transaction.
forge() {
    {
        echo "BEGIN; SET LOCAL session_replication_role = replica; $guards_off"
        table_triggers DISABLE
        cat
        echo ';'
        table_triggers 'ENABLE ALWAYS'
        echo "$guards_on COMMIT;"
    } | ask "$@"
}
table_triggers() { # DISABLE or ENABLE ALWAYS
    cat <<SQL
DO \$\$ DECLARE target regclass; name text; BEGIN
    FOR target, name IN SELECT t.tgrelid, t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND (c.relnamespace = 'ledger'::regnamespace
            OR t.tgname LIKE 'capture\_%') ORDER BY c.relkind <> 'p' LOOP
        EXECUTE format('ALTER TABLE %s $1 TRIGGER %I', target, name);
    END LOOP;
END \$\$;
SQL
}

# --- Processes

# start NAME COMMAND…: runs a command in the background, until the proof ends at the latest. Sets pid. The output is in
# $scratch/NAME.out and $scratch/NAME.err.
start() {
    "${@:2}" >"$scratch/$1.out" 2>"$scratch/$1.err" </dev/null &
    pid=$!
    started+=("$pid")
}

# stop PID…: ends processes with TERM; each must exit with 0.
stop() {
    local pid status
    kill -TERM "$@" 2>/dev/null || true
    for pid in "$@"; do
        status=0
        wait "$pid" || status=$?
        [ "$status" = 0 ] || fail "process $pid ended with $status: $(tail -qn 5 "$scratch"/*.err)"
    done
    not_started "$@"
}

# kill_now PID…: kills processes that still run, and waits until they have ended.
kill_now() {
    kill -KILL "$@" 2>/dev/null || true
    { wait "$@"; } 2>/dev/null || true
    not_started "$@"
}

# not_started PID…: removes ended processes from the list, because other processes can get their ids.
not_started() {
    local process left=()
    for process in "${started[@]}"; do [[ " $* " == *" $process "* ]] || left+=("$process"); done
    started=("${left[@]}")
}

# free_port: sets port to a TCP port that nobody listens on, with two more above it.
free_port() {
    port=$((20000 + $$ % 20000))
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 3)); done
}

# start_pooler [NAME=VALUE…]: starts PgBouncer in transaction mode for the scratch cluster, with two server connections for
# each database and login, and with these settings. Its socket is in $pooler, for PGHOST. Sets pooler_pid. A second call
# restarts it.
start_pooler() {
    local pgbouncer
    pgbouncer=$(PATH="$PATH:/usr/sbin" command -v pgbouncer) || fail 'there is no pgbouncer: see tools/setup'
    pooler=$scratch/pooler
    if [ ! -d "$pooler" ]; then
        mkdir "$pooler"
        {
            printf '[databases]\n* = host=%s\n[pgbouncer]\n' "$scratch"
            printf '%s\n' listen_addr= "unix_socket_dir = $pooler" listen_port=5432 auth_type=trust \
                "auth_file = $pooler/users" pool_mode=transaction default_pool_size=2 max_client_conn=200 \
                admin_users=postgres server_login_retry=1 "logfile = $pooler/log" "pidfile = $pooler/pid" "$@"
        } >"$pooler/ini"
        ask -d postgres -c "SELECT format('\"%s\" \"\"', rolname) FROM pg_roles" >"$pooler/users"
        [ "$(id -u)" != 0 ] || chown -R postgres: "$pooler"
    fi
    as_server "$pgbouncer" -q "$pooler/ini" >/dev/null 2>&1 &
    wait_until 'PgBouncer answers' psql -X -Atq -h "$pooler" -d pgbouncer -c 'SHOW VERSION' >/dev/null
    # The process itself, not the shell that started it as another user.
    pooler_pid=$(cat "$pooler/pid")
    started+=("$pooler_pid")
}

# --- Stores

# store_at NAME: where a store of the proof's lies: a directory, or with --s3 a folder of the bucket.
store_at() {
    if [ -n "$s3" ]; then
        [ -n "${s3_pid:-}" ] || fail 'begin_ledger comes first'
        echo "s3://$bucket/$1"
    else
        echo "${stores:-$scratch}/$1"
    fi
}

# store_out STORE DIRECTORY: what a store holds, in a new directory, to be looked at or changed.
store_out() {
    rm -rf "$2"
    if [ -n "$s3" ]; then
        mkdir "$2"
        control POST "out?folder=${1#"s3://$bucket/"}&directory=$2"
    else
        cp -a "$1" "$2"
        chmod -R u+w "$2"
    fi
}

# store_in DIRECTORY STORE: makes a store hold what a directory does, and nothing else.
store_in() {
    if [ -n "$s3" ]; then
        control POST "in?folder=${2#"s3://$bucket/"}&directory=$1"
    else
        rm -rf "$2"
        cp -a "$1" "$2"
    fi
}

# change_store DIRECTORY STORE COMMAND…: makes a store hold a copy of a directory in which the command was run.
change_store() {
    rm -rf "$scratch/changed"
    cp -a "$1" "$scratch/changed"
    chmod -R u+w "$scratch/changed"
    (cd "$scratch/changed" && "${@:3}")
    store_in "$scratch/changed" "$2"
}

# flip_bit FILE BYTE BIT: changes one bit of a file.
flip_bit() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ 1 << $3)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# random_bits DIRECTORY COUNT SEED: that many places in its files: FILE BYTE BIT. A seed gives the same places again.
random_bits() {
    local number file files
    RANDOM=$3
    mapfile -t files < <(cd "$1" && find . -type f -size +0 | sort)
    for ((number = 0; number < $2; number++)); do
        file=${files[RANDOM % ${#files[@]}]#./}
        echo "$file $(((RANDOM << 15 | RANDOM) % $(stat -c %s "$1/$file"))) $((RANDOM % 8))"
    done
}

# files_with TEXT STORE: the files of a store that have the text, decompressed or as they lie.
files_with() {
    local file
    store_out "$2" "$scratch/seen"
    for file in $(find "$scratch/seen" -type f); do
        if grep -qa "$1" "$file" || { [[ $file == *.lz4 ]] && lz4 -dc "$file" 2>/dev/null | matches -a "$1"; }
        then echo "$file"; fi
    done
}

# --- The bucket of --s3

bucket=proof-bucket
begin_bucket() {
    start_s3 "$scratch"
    set -a
    source "$scratch/s3"
    set +a
    control PUT bucket
}

# control METHOD WHAT: asks the object store for what stands in tools/s3_server.py.
control() { curl -gsSf --noproxy '*' -X "$1" "$AWS_ENDPOINT_URL/_test/$bucket/$2"; }
