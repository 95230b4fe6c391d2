# Shared by the proofs; source it. Needs PostgreSQL's server programs, and nothing of ours but schema/.
#
# A proof that takes --s3 has its stores in a bucket then, of an object store on loopback (tools/s3_server.py). The option
# is taken off its arguments here.
#
#   scratch_cluster [-c name=value …]  starts a cluster of its own and points libpq at it; it is stopped
#                                      and removed when the script ends
#   start_pooler [name=value …]        PgBouncer in transaction mode before the scratch cluster, with two server
#                                      connections a database and login; its socket lies in $pooler, which is a PGHOST too
#   lay_schema DATABASE                makes a database and lays the schema in it by psql
#   same_ledger A B ENTRY              two databases have the same log up to an entry, and the same tables
#   store_at NAME                      where a store of the proof's lies: a directory, or with --s3 a folder of the bucket
#   store_out STORE DIRECTORY          what a store holds, in a new directory, to be looked at or changed
#   store_in DIRECTORY STORE           makes a store hold what a directory does, and nothing else
#   control METHOD WHAT                of the object store: what stands in tools/s3_server.py
#   wait_until WHAT COMMAND…           until the command succeeds, however busy the machine is; after five minutes it fails
#   forge [-d DATABASE]                runs the SQL on its input as a superuser behind every guard, and puts them all back
#   say TEXT, fail TEXT                one line of progress; the reason why the line proved is untrue

set -euo pipefail
export LC_ALL=C
proof_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

s3=
arguments=()
for argument in "$@"; do
    if [ "$argument" = --s3 ]; then s3=1; else arguments+=("$argument"); fi
done
set -- "${arguments[@]}"

say() { printf '%s\n' "$*"; }

fail() {
    printf 'UNTRUE: %s\n' "$*" >&2
    exit 1
}

# Where the reason needs more than WHAT, a function `seen` prints it.
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

# Runs a command as the system's user postgres when we are root, which PostgreSQL refuses to run as.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
    else
        "$@"
    fi
}

scratch_cluster() {
    local bin
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1) || true
    [ -n "$bin" ] || bin=$(pg_config --bindir)
    export PATH="$bin:$PATH"
    scratch=$(mktemp -d /tmp/opsledger-proof.XXXXXX)
    trap scratch_end EXIT
    [ "$(id -u)" != 0 ] || chown postgres:postgres "$scratch"
    (
        cd "$scratch"
        as_server initdb -D data -U postgres -A trust -E UTF8 --locale=C.UTF-8 >initdb.log 2>&1 &&
            as_server pg_ctl -D data -l server.log -w -t 60 \
                -o "-c listen_addresses= -c unix_socket_directories=$scratch $*" start >/dev/null
    ) || {
        tail -n 20 "$scratch"/*.log >&2
        fail 'the scratch cluster does not start'
    }
    export PGHOST=$scratch PGUSER=postgres PGDATABASE=postgres
    unset PGPORT PGPASSWORD PGSERVICE PGOPTIONS
    stores=$scratch
    [ -z "$s3" ] || begin_bucket
}

# --- A pooler

# PgBouncer's settings may be given; doing it again starts it anew.
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
        [ "$(id -u)" != 0 ] || chown -R postgres:postgres "$pooler"
    fi
    as_server "$pgbouncer" -q "$pooler/ini" >/dev/null 2>&1 &
    wait_until 'PgBouncer answers' psql -X -Atq -h "$pooler" -d pgbouncer -c 'SHOW VERSION' >/dev/null
    # The process itself, not the shell that started it as another user.
    pooler_pid=$(cat "$pooler/pid")
    started+=("$pooler_pid")
}

# --- Stores

bucket=proof-bucket
begin_bucket() {
    source "$proof_root/tools/library.sh"
    unset AWS_SESSION_TOKEN AWS_REGION AWS_CA_BUNDLE
    start_s3 "$scratch"
    set -a
    source "$scratch/s3"
    set +a
    control PUT bucket
}

control() {
    python3 - "$1" "$AWS_ENDPOINT_URL/_test/$bucket/$2" <<'PYTHON'
import sys, urllib.request
print(urllib.request.urlopen(urllib.request.Request(sys.argv[2], method=sys.argv[1])).read().decode(), end='')
PYTHON
}

store_at() { if [ -n "$s3" ]; then echo "s3://$bucket/$1"; else echo "$stores/$1"; fi; }

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

store_in() {
    if [ -n "$s3" ]; then
        control POST "in?folder=${2#"s3://$bucket/"}&directory=$1"
    else
        rm -rf "$2"
        cp -a "$1" "$2"
    fi
}

# --- Processes

# Processes that end with the proof, whatever fails: `started+=($!)`.
started=()
scratch_end() {
    local status=${1:-$?}
    trap - EXIT
    [ ${#started[@]} = 0 ] || kill -KILL "${started[@]}" 2>/dev/null || true
    [ -z "${s3_pid:-}" ] || kill "$s3_pid" 2>/dev/null || true
    local running
    for running in "$scratch"/*/postmaster.pid; do
        [ ! -f "$running" ] ||
            (cd "$scratch" && as_server pg_ctl -D "${running%/*}" -m immediate -w stop >/dev/null) || true
    done
    rm -rf "$scratch"
    exit "$status"
}

lay_schema() {
    createdb "$1"
    (
        cd "$proof_root"
        cat schema/migrations/*.sql schema/functions/*/*.sql schema/views/*.sql schema/guards/*.sql
    ) | psql -q -d "$1" -1 -v ON_ERROR_STOP=1
}

# One value or several lines, unadorned; fails when the statement does.
ask() { psql -X -Atq -v ON_ERROR_STOP=1 "$@"; }

# The program, built for release; at $opsledger. OPSLEDGER names one that is there already.
build_program() {
    opsledger=${OPSLEDGER:-}
    [ -n "$opsledger" ] && return
    (cd "$proof_root" && swift build -c release --static-swift-stdlib --product opsledger >/dev/null)
    opsledger=$(cd "$proof_root" &&
        swift build -c release --static-swift-stdlib --product opsledger --show-bin-path)/opsledger
}

# Runs a command and fails unless it exits with the status that is expected.
expect_exit() {
    local expected=$1 status=0
    shift
    "$@" >"$scratch/out" 2>"$scratch/err" || status=$?
    [ "$status" = "$expected" ] || {
        cat "$scratch/out" "$scratch/err" >&2
        fail "exit $status, not $expected: $*"
    }
}

# Fails unless two databases have the same log up to an entry, but for what a restore records of itself, and the
# same tables.
same_ledger() { # DATABASE OTHER ENTRY
    local database
    for database in "$1" "$2"; do
        ask -d "$database" -c "SELECT e::text FROM ledger.events AS e WHERE e.entry <= $3 AND e.type NOT IN
            ('ledger.restored', 'ledger.moved') ORDER BY e.entry, e.index" | sha256sum >"$scratch/log.$database"
        for table in agent_events agent_reactions mission_proposals missions mission_steps action_runs demand_radar policy; do
            ask -d "$database" -c "SELECT t::text FROM ops_$table AS t ORDER BY 1"
        done | sha256sum >"$scratch/tables.$database"
    done
    cmp "$scratch/log.$1" "$scratch/log.$2" || fail "the logs of $1 and $2 differ"
    cmp "$scratch/tables.$1" "$scratch/tables.$2" || fail "the tables of $1 and $2 differ"
}

# Runs the SQL on its input behind the guards, in one transaction with what puts every one of them back.
forge() {
    {
        echo 'BEGIN;'
        guards DISABLE
        cat
        echo ';'
        guards 'ENABLE ALWAYS'
        echo 'COMMIT;'
    } | psql -X -Atq -v ON_ERROR_STOP=1 "$@"
}

guards() {
    cat <<SQL
DO \$guards\$ DECLARE target regclass; name text; BEGIN
    FOR name IN SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'opsledger%' LOOP
        IF '$1' = 'DISABLE' THEN EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', name); END IF;
    END LOOP;
    FOR target, name IN SELECT t.tgrelid, t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND (c.relnamespace = 'ledger'::regnamespace
            OR t.tgname LIKE 'capture\_%') ORDER BY c.relkind <> 'p' LOOP
        EXECUTE format('ALTER TABLE %s $1 TRIGGER %I', target, name);
    END LOOP;
    FOR name IN SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'opsledger%' LOOP
        IF '$1' <> 'DISABLE' THEN EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', name); END IF;
    END LOOP;
END \$guards\$;
SQL
}

# A database made and begun by `init`, named in OPS_DATABASE_URL.
begin_ledger() {
    unset DATABASE_URL SUPABASE_URL OPSLEDGER_HOME
    createdb "$1"
    export PGDATABASE=$1 OPS_DATABASE_URL="postgresql://postgres@/$1?host=$scratch"
    "$opsledger" init >/dev/null
}
