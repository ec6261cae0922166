#!/bin/bash
# Shows two gateways on one PostgreSQL database, on this machine, until Ctrl-C. Nothing of it stays.
#   deploy/cluster-demo.sh [ROSTERD]
set -euo pipefail
rosterd=$(realpath "${1:-target/release/rosterd}")
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
test -x "$bin/initdb" || { echo "needs Debian's postgresql: make postgres" >&2; exit 1; }
port=${PORT:-15432}
place=$(mktemp -d)
chmod 755 "$place"
# PostgreSQL does not run as root.
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown postgres "$place"
    as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
fi
gateways=()
end() {
    trap - EXIT INT TERM
    for pid in "${gateways[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${gateways[@]}"; do wait "$pid" 2>/dev/null || true; done
    as "$bin/pg_ctl" -D "$place/db" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$place"
}
trap end EXIT
trap 'exit 0' INT TERM
cd "$place"
as "$bin/initdb" -D "$place/db" -U demo -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
as "$bin/pg_ctl" -D "$place/db" -w -l "$place/postgres.log" \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=''" start >/dev/null
start() {
    mkdir "$place/$1"
    (cd "$place/$1" && exec "$rosterd" serve --set auth.mode=development --set cluster.enabled=true \
        --set cluster.node="$1" --set shutdown.away=0s --set store.url="postgres://demo@127.0.0.1:$port/postgres" \
        --set clients.listen="127.0.0.1:$2" --set ops.listen="127.0.0.1:$3") >"$place/$1/log" 2>&1 &
    gateways+=($!)
    until grep -q "is ready" "$place/$1/log"; do
        kill -0 "${gateways[-1]}" 2>/dev/null || { cat "$place/$1/log" >&2; exit 1; }
        sleep 0.1
    done
}
start one "${ONE:-7678}" 7679
start two "${TWO:-8678}" 8679
cat <<TEXT
Two gateways are ready, "one" and "two". Open both pages, side by side:
  http://127.0.0.1:${ONE:-7678}/   and log in as alice
  http://127.0.0.1:${TWO:-8678}/   and log in as bob
They are friends: each sees the other's changes at once, and when the other comes and goes.
  kill -9 ${gateways[0]}   kills "one": bob sees alice go after about half a minute, unless she opens the other page before.
  curl -s http://127.0.0.1:8679/v1/nodes   shows the gateways.
Ctrl-C ends it all.
TEXT
wait "${gateways[@]}"
wait
