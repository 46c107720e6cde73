#!/usr/bin/env bash
# Runs each fuzz target of the module for FUZZTIME (10s), one after the other. An
# input that fails is kept by go test in the package's testdata.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets=0
for package in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		printf '== %s %s\n' "$package" "$target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "$package"
		targets=$((targets + 1))
	done
done
printf '%s fuzz targets, none failed\n' "$targets"
