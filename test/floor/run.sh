#!/usr/bin/env bash
# Measures dunlin beside the least that a server can do, and prints ratios against
# the budgets, or with -latency latencies under disturbances. Fails nothing. Needs
# Linux, two cores, bash, taskset, cc and go.
#
#   test/floor/run.sh [FLAGS]      -latency, -profile, -only WORD, -quick; see test/floor/budget
#   ROUNDS=3                       how often everything is measured
#   SERVER_CORE=0 LOAD_CORE=1      where
#
# Servers run on free ports of loopback, one after the other, and are ended by their
# own process ids. Results go to .cache/floor/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

missing=()
[ "$(uname -s)" = Linux ] || missing+=('Linux')
for tool in taskset cc go; do
	command -v "$tool" >/dev/null || missing+=("$tool")
done
if command -v taskset >/dev/null; then
	for core in "${SERVER_CORE:=0}" "${LOAD_CORE:=1}"; do
		taskset -c "$core" true 2>/dev/null || missing+=("core $core (SERVER_CORE, LOAD_CORE)")
	done
fi
if [ ${#missing[@]} -gt 0 ]; then
	printf 'test/floor: missing: %s\n' "$(IFS=,; echo "${missing[*]}")" >&2
	exit 1
fi

out=.cache/floor
mkdir -p "$out"
CGO_ENABLED=0 go build -trimpath -o "$out/" ./cmd/dunlin ./test/floor/bare ./test/floor/proto ./test/floor/budget
cc -O2 -Wall -o "$out/limit" test/floor/limit/limit.c

exec "$out/budget" -bin "$out" -out "$out/results-$(date +%Y%m%d-%H%M%S).json" \
	-rounds "${ROUNDS:-3}" -server-core "$SERVER_CORE" -load-core "$LOAD_CORE" "$@"
