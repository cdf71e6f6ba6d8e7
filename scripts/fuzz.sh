#!/bin/sh
# Runs every fuzz target for a while: fuzz.sh [TIME] (10s unless given; soaking takes 10m). A target that fails leaves its input in
# the package's testdata/fuzz, where `go test` runs it from then on: commit it with the correction.
set -eu
cd "$(dirname "$0")/.."

time=${1:-10s}
targets=$(git grep -oE '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go') # FILE:func NAME
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT

echo "$targets" | while IFS=: read -r file target; do
	target=${target#func }
	echo "fuzz: $(dirname "$file") $target for $time"
	# Without a limit, making an interesting input smaller takes up to a minute each, in which nothing new is tried.
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1x "./$(dirname "$file")" </dev/null || echo "$target" >>"$failed"
done
if [ -s "$failed" ]; then
	echo "fuzz: failed: $(xargs <"$failed")" >&2
	exit 1
fi
