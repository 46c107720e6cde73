#!/usr/bin/env bash
# What a release is made of, in dist/: an archive for each system, with a list of
# what is in each binary (CycloneDX) beside it, and the checksums of all. Built twice
# from one commit it is the same, byte for byte.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64}
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

version=${VERSION:?make dist sets it}
commit=${COMMIT:?make dist sets it}
when=$(git log -1 --format=%ct) # of every file in the archives

rm -rf dist
mkdir dist
for platform in $platforms; do
	name=dunlin-$version-${platform/\//-}
	mkdir "dist/$name"
	CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} go build -trimpath \
		-ldflags "-s -w -X main.version=$version -X main.commit=$commit" -o "dist/$name/dunlin" ./cmd/dunlin
	# -noserial and -notimestamp: or each list would be another.
	go run "$sbom" bin -json -noserial -notimestamp -version "$version" -output "dist/$name.cdx.json" "dist/$name/dunlin"
	cp -r apps.yaml LICENSE README.md CHANGELOG.md docs "dist/$name/"
	case $platform in linux/*) cp -r deploy "dist/$name/" ;; esac
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$when" -C dist -cf - "$name" | gzip -9n >"dist/$name.tar.gz"
	rm -r "dist/${name:?}"
	printf '%s\n' "dist/$name.tar.gz"
done
cd dist
sha256sum -- * >SHA256SUMS
