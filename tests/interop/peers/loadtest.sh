#!/usr/bin/env bash
# loadtest.sh OUTPUT: transparency-dev's loadtest. Its first question is for a proof from an empty tree, which its own
# library has refused since July 2026; on the way to the compiler it is mended to ask for none, and is theirs otherwise.
set -euo pipefail
cd "$(dirname "$0")"

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
theirs=$(go list -mod=readonly -f '{{.Dir}}' github.com/transparency-dev/witness/cmd/loadtest)/loadtest.go
awk '/nodes, err := proof.Consistency\(l.witnessedSize, l.size\)/ {
  print "\tif l.witnessedSize == 0 {\n\t\treturn cpSigned, l.size, nil\n\t}"
} { print }' "$theirs" >"$folder/loadtest.go"
go build -trimpath -mod=readonly -o "$1" "$folder/loadtest.go"
