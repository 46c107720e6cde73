#!/usr/bin/env bash
# What needs nothing but Go. Usage: test/check.sh static|all
#   static  formatting, go.mod, vet, lint
#   all     these and the unit tests; those in test/ start whole servers and take longer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

unformatted=$(find . -name '*.go' -not -path '*/node_modules/*' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
	printf 'gofmt would change:\n%s\n' "$unformatted" >&2
	exit 1
fi
go mod tidy -diff
go vet ./...
go tool staticcheck ./...
# What stands in no ordinary build, see transport/epoll/sys_simulated.go.
go vet -tags simulated ./transport/epoll ./test/million
go tool staticcheck -tags simulated ./transport/epoll ./test/million
if [ "${1:-all}" = all ]; then
	mapfile -t packages < <(go list ./... | grep -v '/test/')
	go test "${packages[@]}"
fi
