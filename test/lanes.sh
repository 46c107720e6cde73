#!/usr/bin/env bash
# The lanes of `make test`: what each one does, what it needs, and the count at
# the end. Usage: test/lanes.sh [LANE...], all of them without arguments.
#
# A lane named NAME is the function lane_NAME; needs_NAME, if there is one, lists
# its tools. Adding a lane is writing these two and its name in `all`.
#
#   CI=true          a missing tool is a failure, not a skipped lane
#   LANES_SUMMARY=F  the closing line goes to F and not to the output
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=test/tools.sh
. test/tools.sh

all=(static go redis chaos dashboard clients chromium deploy conformance)

# Where lanes leave how each test ended, in files that begin with the lane's name.
ends=$PWD/.cache/tests
mkdir -p "$ends"

# Formatting, vet, lint.
lane_static() { test/check.sh static; }

# Every Go test under the race detector; fuzz targets run on their seeds. Without a
# C compiler there is no race detector: the tests run all the same, and what is
# missing is counted.
lane_go() {
	if has cc; then
		CGO_ENABLED=1 go_test -race
	else
		go_test
		skip go-race cc
	fi
}

# go_test FLAG...: prints what go test prints. Nothing comes from Go's cache, which
# does not know that the tests of the binary depend on its sources.
go_test() {
	go test "$@" -count=1 -json ./... | tee "$ends/go.json" | go run ./internal/conformance show
}

# What nodes share in Redis: tests start redis-servers of their own.
needs_redis=(redis-server)
lane_redis() {
	local race=()
	has cc && race=(-race)
	go vet -tags redis ./...
	go test "${race[@]}" -tags redis ./cluster/redis ./webhooks/redis
	go test -tags redis ./test/scale
	go test ./test/model -count=1 -nodes 3
	if has node && has npm; then
		nodes_clients
	else
		skip redis-clients node npm
	fi
}

# Nodes as processes while they, their links and Redis break: what users see of each
# failure, and a schedule of many, always the same one, which has every fault in it.
needs_chaos=(redis-server)
lane_chaos() {
	go test -tags redis -count=1 ./test/chaos -seed 13
	if namespaces; then
		go test -tags redis -count=1 ./test/chaos -run TestNodeIsCutOff -hosts
	else
		printf 'chaos-hosts\tskipped\tnetwork namespaces are not permitted\n' >>"$results"
	fi
}

# namespaces: may hosts be made of network namespaces here?
namespaces() {
	local name=dunlin-lane-$$ fine=0
	ip netns add "$name" 2>/dev/null || return 1
	ip link add "dl$$" type veth peer name r netns "$name" && ip netns exec "$name" true || fine=1
	ip netns del "$name"
	return $fine
}

# nodes_clients: stock clients on several nodes.
nodes_clients() {
	make --no-print-directory build
	install_packages
	has haproxy || skip redis-balancer haproxy
	node --test --test-reporter=spec --test-timeout=60000 test/nodes/*.test.js
}

# The queries of deploy/grafana, asked of a Prometheus that scrapes two nodes.
needs_dashboard=(prometheus redis-server)
lane_dashboard() {
	go vet -tags prometheus ./test/dashboard
	go test -tags prometheus -count=1 ./test/dashboard
}

# Stock clients and the stock server SDK against the real binary: over the system's
# own transport, then over the portable one.
needs_clients=(node npm openssl)
lane_clients() {
	make --no-print-directory build
	install_packages
	cd test/clients
	local transport
	for transport in auto stream; do
		printf -- '-- transport %s\n' "$transport"
		CLIENTS_TRANSPORT=$transport npm test -- --test-reporter-destination=stdout \
			--test-reporter=./reporter.js --test-reporter-destination="$ends/clients-$transport.json"
	done
}

# install_packages: those of test/clients. npm ci starts from nothing, which takes
# longer than the tests: only when the lock file is another one than at the last time.
install_packages() (
	cd test/clients
	if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
		npm ci
		cp package-lock.json node_modules/.installed-lock.json
	fi
)

# The same clients as scripts in pages of real Chromium, and what only a browser shows.
# The transports differ in nothing that a browser sees, so one is enough.
needs_chromium=(node npm chromium)
lane_chromium() {
	make --no-print-directory build
	install_packages
	cd test/chromium
	npm test -- --test-reporter-destination=stdout \
		--test-reporter=../clients/reporter.js --test-reporter-destination="$ends/chromium.json"
}

# What stands in deploy/, on the programs that it is for; the manifests of Kubernetes
# against the types of its API.
needs_deploy=(caddy nginx systemd-analyze)
lane_deploy() {
	go vet -tags deploy ./test/deploy
	go test -tags deploy -count=1 ./test/deploy
	cd test/deploy/manifests
	go vet ./...
	go test -count=1 ./...
}

# What the tests of the lanes above have shown, against docs/conformance.md. It can
# only be told when all of them ran.
lane_conformance() {
	local name files=() missing=()
	for name in go clients-auto clients-stream chromium; do
		files+=("$ends/$name.json")
		[ -s "$ends/$name.json" ] || missing+=("$name")
	done
	[ "$(uname)" = Linux ] || missing+=(transport/epoll)
	if [ ${#missing[@]} -gt 0 ]; then
		printf 'docs/conformance.md was not compared: these have not run: %s\n' "${missing[*]}" >&2
		[ "${CI:-}" = true ] && return 1
		return "$skipped"
	fi
	go run ./internal/conformance "${files[@]}"
}

# What a lane returns that could not do its work, and is not to blame.
skipped=77

# skip LANE TOOL...: counts a lane as skipped, or as failed where nothing may be missing.
skip() {
	local lane=$1
	shift
	if [ "${CI:-}" = true ]; then
		printf 'lane %s: missing: %s\n' "$lane" "$*" >&2
		return 1
	fi
	printf '%s\tskipped\tmissing: %s\n' "$lane" "$*" >>"$results"
}

run_lane() {
	local lane=$1 needs="needs_$1[@]" missing=() tool started=$SECONDS outcome=passed
	rm -f "$ends/$lane"*.json
	for tool in ${!needs+"${!needs}"}; do
		has "$tool" || missing+=("$tool")
	done
	if [ ${#missing[@]} -gt 0 ] && [ "${CI:-}" != true ]; then
		skip "$lane" "${missing[@]}"
		return
	fi
	printf '\n== lane %s\n' "$lane"
	if [ ${#missing[@]} -gt 0 ]; then
		printf 'missing: %s\n' "${missing[*]}" >&2
		outcome=failed
	else
		# A process of its own, since -e has no effect inside a condition.
		"${BASH_SOURCE[0]}" --one "$lane" || {
			[ $? = "$skipped" ] && outcome=skipped || outcome=failed
		}
	fi
	printf '%s\t%s\t%s s\n' "$lane" "$outcome" $((SECONDS - started)) >>"$results"
	printf '== lane %s %s in %s s\n' "$lane" "$outcome" $((SECONDS - started))
}

count() { grep -c "	$1	" "$results" || true; }

if [ "${1:-}" = --one ]; then
	results=$LANES_RESULTS
	"lane_$2"
	exit
fi

results=$(mktemp)
trap 'rm -f "$results"' EXIT
export LANES_RESULTS=$results
[ $# -gt 0 ] || set -- "${all[@]}"
for lane in "$@"; do
	declare -F "lane_$lane" >/dev/null || { printf 'there is no lane %s\n' "$lane" >&2; exit 2; }
	run_lane "$lane"
done

printf '\n== lanes, %s s in all\n' "$SECONDS"
while IFS=$'\t' read -r lane outcome detail; do
	printf '%-12s %-8s %s\n' "$lane" "$outcome" "$detail"
done <"$results"
failed=$(count failed)
summary="$(count passed) passed, $failed failed, $(count skipped) skipped"
if [ -n "${LANES_SUMMARY:-}" ]; then
	echo "$summary" >"$LANES_SUMMARY"
else
	echo "$summary"
fi
[ "$failed" = 0 ]
