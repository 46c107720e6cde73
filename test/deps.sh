#!/usr/bin/env bash
# Provides what `make test` needs beyond Go and make: as root with apt it installs
# the missing Debian packages, otherwise it names them. With CI=true a tool that
# stays missing is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=test/tools.sh
. test/tools.sh

command -v go >/dev/null || { echo 'deps: Go is missing; go.mod says which version is needed' >&2; exit 1; }

missing=()
find_missing() {
	local tool
	missing=()
	for tool in "${!package_of[@]}"; do
		has "$tool" || missing+=("$tool")
	done
}

find_missing
[ ${#missing[@]} -eq 0 ] && exit
packages=()
for tool in "${missing[@]}"; do
	read -ra names <<<"${package_of[$tool]}"
	packages+=("${names[@]}")
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "deps: installing ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >&2 || echo 'deps: apt-get failed' >&2
	find_missing
	[ ${#missing[@]} -eq 0 ] && exit
fi
echo "deps: missing: ${missing[*]} (Debian: ${packages[*]}); what needs them is skipped" >&2
[ "${CI:-}" != true ]
