#!/usr/bin/env bash
# Throughput and latency against the number of subscribers: `dunlin bench fanout` for
# each of SIZES, as much as the server can with 16 publishers and with one, and at an even pace. Prints JSON,
# of which test/plot makes pictures. Needs Linux, two cores, bash, taskset and go.
#
#   test/floor/curve.sh >FILE
#   SIZES='1 10 100 1000 10000'    subscribers
#   SECONDS_EACH=5                 of each of the three measurements
#   SERVER_CORE=0 LOAD_CORE=1      where; the server has GOMAXPROCS=1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
: "${SIZES:=1 10 100 1000 10000}" "${SECONDS_EACH:=5}" "${SERVER_CORE:=0}" "${LOAD_CORE:=1}"
for tool in taskset go; do
	command -v "$tool" >/dev/null || { printf 'curve: missing: %s\n' "$tool" >&2; exit 1; }
done

dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$dir"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$dir/dunlin" ./cmd/dunlin
cat >"$dir/apps.yaml" <<'END'
server: {port: 0, drain: 0}
ops: {enabled: false}
log: {level: warn}
apps: [{id: app-id, key: app-key, secret: app-secret}]
END

# start: a fresh server, whose URL goes to $url.
start() {
	: >"$dir/out"
	GOMAXPROCS=1 taskset -c "$SERVER_CORE" "$dir/dunlin" serve --config "$dir/apps.yaml" >"$dir/out" 2>"$dir/err" &
	server=$!
	url=
	for _ in $(seq 100); do
		url=$(sed -n 's#.*listening on *\(http://[^ ]*\).*#\1#p' "$dir/out")
		[ -z "$url" ] || return 0
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	cat "$dir/err" >&2
	return 1
}

stop() {
	kill "$server"
	wait "$server" || true
	server=
}

bench() {
	taskset -c "$LOAD_CORE" "$dir/dunlin" bench fanout --url "$url" --pid "$server" --duration "${SECONDS_EACH}s" --events 10000000 --json "$@"
}

json_string() { printf '"%s"' "$(sed 's/["\\]//g' <<<"$1")"; }

printf '{"machine":{"cpu":%s,"cores":%s,"kernel":%s,"go":%s},"points":[' \
	"$(json_string "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1)")" "$(nproc)" "$(json_string "$(uname -r)")" "$(json_string "$(go env GOVERSION)")"
comma=
for n in $SIZES; do
	printf 'curve: %s subscribers\n' "$n" >&2
	# Evenly: 20,000 deliveries a second, but from 2 to 200 events.
	rate=$((20000 / n))
	rate=$((rate > 200 ? 200 : rate < 2 ? 2 : rate))
	start
	printf '%s{"subscribers":%s,"most":' "$comma" "$n"
	bench --connections "$n" --publishers 16 --window 16
	printf ',"one_publisher":'
	bench --connections "$n" --window 1
	printf ',"paced":'
	bench --connections "$n" --rate "$rate"
	printf '}\n'
	stop
	comma=,
done
printf ']}\n'
