# What the scripts here share. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Nothing of the caller's settings may send a test or a demo to a database of theirs.
forget_databases() {
    unset OPS_DATABASE_URL DATABASE_URL SUPABASE_URL OPSLEDGER_HOME OPS_DATABASE_URL_FILE \
        DATABASE_URL_FILE SUPABASE_URL_FILE PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGOPTIONS \
        PGSERVICE PGHOSTADDR OPS_STORE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN \
        AWS_REGION AWS_ENDPOINT_URL AWS_CA_BUNDLE
}

# quietly LABEL COMMAND…: runs a command; its output only where it fails. On a terminal its last
# line is shown as it goes, elsewhere the label is.
quietly() {
    local label=$1 log status=0
    shift
    log=$(mktemp)
    if [ -t 2 ]; then
        "$@" </dev/null 2>&1 | tee "$log" | while IFS= read -r line; do
            printf '\r\033[K%s: %.*s' "$label" 60 "$line" >&2
        done || status=$?
        printf '\r\033[K' >&2
    else
        echo "$label" >&2
        "$@" >"$log" 2>&1 </dev/null || status=$?
    fi
    [ "$status" = 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# build_release: leaves the program at $opsledger.
build_release() {
    quietly 'building opsledger (the first time takes a few minutes)' \
        swift build --package-path "$root" -c release --static-swift-stdlib --product opsledger
    opsledger=$(swift build --package-path "$root" -c release --static-swift-stdlib \
        --product opsledger --show-bin-path)/opsledger
}

# Prints the directory of the newest PostgreSQL's programs.
postgres_programs() {
    local directory
    directory=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
    [ -n "$directory" ] || { echo 'no PostgreSQL in /usr/lib/postgresql' >&2; return 1; }
    echo "$directory"
}

# start_scratch_postgres: a server of our own in a temporary directory, on a unix socket only.
# Sets scratch_url, a superuser's. It is stopped and deleted when the script ends.
start_scratch_postgres() {
    local programs
    programs=$(postgres_programs)
    scratch=$(mktemp -d /tmp/opsledger-test.XXXXXX)
    scratch_pid=
    trap stop_scratch_postgres EXIT
    trap 'exit 130' INT TERM
    as_server=()
    if [ "$(id -u)" = 0 ]; then
        chown postgres: "$scratch"
        as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
    fi
    (
        cd /
        "${as_server[@]}" "$programs/initdb" -D "$scratch/data" -U postgres --auth=trust \
            --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$scratch/initdb.log" 2>&1 ||
            { cat "$scratch/initdb.log" >&2; exit 1; }
    )
    cd /
    setsid "${as_server[@]}" "$programs/postgres" -D "$scratch/data" -c listen_addresses= \
        -c unix_socket_directories="$scratch" -c max_connections=200 -c timezone=UTC \
        -c max_locks_per_transaction=256 >"$scratch/log" 2>&1 </dev/null &
    scratch_pid=$!
    cd "$root"
    for _ in $(seq 600); do
        if "$programs/pg_isready" -q -h "$scratch" -U postgres; then
            scratch_url="postgresql://postgres@/postgres?host=$scratch"
            return
        fi
        kill -0 "$scratch_pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$scratch/log" >&2
    echo 'the scratch PostgreSQL does not start' >&2
    return 1
}

stop_scratch_postgres() {
    [ -z "${s3_pid:-}" ] || kill "$s3_pid" 2>/dev/null || true
    if [ -n "${scratch_pid:-}" ]; then
        kill -INT "$scratch_pid" 2>/dev/null || true
        wait "$scratch_pid" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}

# s3_python: prints a Python with what tools/s3_server.py stands on; made the first time.
s3_python() {
    local place=$root/.build/s3-server
    if ! cmp -s "$root/tools/s3_server.txt" "$place/made-for"; then
        rm -rf "$place"
        python3 -m venv "$place" &&
            "$place/bin/pip" install -q --disable-pip-version-check -r "$root/tools/s3_server.txt" >&2 &&
            cp "$root/tools/s3_server.txt" "$place/made-for" || return 1
    fi
    echo "$place/bin/python"
}

# start_s3 DIRECTORY [--tls]: an object store for tests on loopback. Writes DIRECTORY/s3, settings for a
# shell to source; sets s3_pid. It ends when it is killed, or when its standard input closes.
start_s3() {
    local place=$1 python
    shift
    python=$(s3_python) || return 1
    mkfifo "$place/s3.input"
    "$python" "$root/tools/s3_server.py" "$place/s3" "$@" <"$place/s3.input" >"$place/s3.log" 2>&1 &
    s3_pid=$!
    exec {s3_input}>"$place/s3.input"
    for _ in $(seq 300); do
        [ -f "$place/s3" ] && return
        kill -0 "$s3_pid" 2>/dev/null || break
        sleep 0.1
    done
    cat "$place/s3.log" >&2
    echo 'the object store does not start' >&2
    return 1
}
