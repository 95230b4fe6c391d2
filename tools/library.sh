# Builds the program, and starts and stops a PostgreSQL cluster and a bucket for a script. Sourced, not run, by tests,
# proofs, bench and demo. The functions that read and check a ledger are in tools/proof/lib.sh.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# forget_databases: removes the caller's settings, so that no test or demo uses a database of the caller.
forget_databases() {
    unset "${!PG@}" "${!OPS_@}" "${!AWS_@}" DATABASE_URL SUPABASE_URL DATABASE_URL_FILE SUPABASE_URL_FILE OPSLEDGER_HOME
}

# quietly LABEL COMMAND…: runs a command, and shows its output only if it fails. Meanwhile a terminal shows the last
# line of the output, and anything else the label.
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

# build_release: builds the program, and sets opsledger to its path.
build_release() {
    quietly 'building opsledger (the first time takes a few minutes)' \
        swift build --package-path "$root" -c release --static-swift-stdlib --product opsledger
    opsledger=$(swift build --package-path "$root" -c release --static-swift-stdlib \
        --product opsledger --show-bin-path)/opsledger
}

# --- The script's directory, and what ends with the script

started=() # Processes to kill when the script ends: started+=($!)
at_end=()  # Commands to run before that: at_end+=('umount /mnt')

# scratch_directory: makes the directory $scratch, which the script's end removes.
scratch_directory() {
    scratch=$(mktemp -d /tmp/opsledger-scratch.XXXXXX)
    trap end_scratch EXIT
    trap 'exit 130' INT TERM
}

end_scratch() {
    local status=$? command data
    trap - EXIT
    for command in "${at_end[@]}"; do eval "$command" || true; done
    [ ${#started[@]} = 0 ] || { kill -KILL "${started[@]}" && wait "${started[@]}"; } 2>/dev/null || true
    [ -z "${s3_pid:-}" ] || kill "$s3_pid" 2>/dev/null || true
    for data in "$scratch"/*/postmaster.pid; do
        [ ! -f "$data" ] || stop_server "$(basename "${data%/*}")" immediate || true
    done
    rm -rf "$scratch"
    exit "$status"
}

# --- A PostgreSQL cluster of the script's own

# as_server COMMAND…: runs a command, as the user postgres if the caller is root: PostgreSQL does not run as root.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}

# scratch_cluster [-c NAME=VALUE…]: starts a cluster in $scratch/data, on a Unix socket in $scratch, and sets the
# variables of libpq to connect as its superuser. Its log is $scratch/data.log. The script's end stops and removes it.
scratch_cluster() {
    local programs
    programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1) || true
    PATH=${programs:-$(pg_config --bindir)}:$PATH
    scratch_directory
    [ "$(id -u)" != 0 ] || chown postgres: "$scratch"
    make_cluster data
    start_server data "$scratch" "$@"
    unset "${!PG@}"
    export PATH PGHOST=$scratch PGUSER=postgres PGDATABASE=postgres
}

# make_cluster NAME: a new cluster in $scratch/NAME.
make_cluster() {
    (cd "$scratch" && as_server initdb -D "$1" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync) \
        >"$scratch/initdb.log" 2>&1 || { cat "$scratch/initdb.log" >&2; return 1; }
}

# start_server NAME SOCKETS [-c NAME=VALUE…]: starts the cluster in $scratch/NAME, with its socket in the directory SOCKETS.
start_server() {
    (cd "$scratch" && as_server pg_ctl -D "$1" -l "$1.log" -w -t 60 \
        -o "-c listen_addresses= -c unix_socket_directories=$2 ${*:3}" start >/dev/null) && return
    tail -n 20 "$scratch/$1.log" >&2
    echo "the cluster in $scratch/$1 does not start" >&2
    return 1
}

# stop_server NAME [MODE]: stops the cluster in $scratch/NAME, fast unless another of pg_ctl's modes is named.
stop_server() { (cd "$scratch" && as_server pg_ctl -D "$1" -m "${2:-fast}" -w stop >/dev/null); }

# matches [OPTION…] PATTERN: grep -q for the end of a pipe. It reads all of its input. grep -q ends at the first match,
# and pipefail then takes the broken pipe of the command before it for a failure.
matches() { grep "$@" | cat >/dev/null; }

# url DATABASE [LOGIN]: prints the URL of a database of the scratch cluster, for its superuser or another login.
url() { echo "postgresql://${2:-postgres}@/$1?host=$scratch"; }

# --- An object store for the script

# s3_python: prints the path of a Python with the packages of tools/s3_server.py. The first call installs it.
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

# start_s3 DIRECTORY [--tls]: starts an object store on loopback. Writes DIRECTORY/s3, settings for a shell to source, and
# sets s3_pid. The store ends with the script, or when its standard input closes.
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
