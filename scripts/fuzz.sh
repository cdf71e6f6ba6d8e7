#!/bin/sh
# Runs every fuzz target for a while: fuzz.sh [TIME] (10s unless given; soaking takes 10m). A target that fails leaves its input in
# the package's testdata/fuzz, where `go test` runs it from then on: commit it with the correction.
set -eu
cd "$(dirname "$0")/.."

time=${1:-10s}
targets=$(git grep -oE '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go') # FILE:func NAME
failed=$(mktemp)
log=$(mktemp)
trap 'rm -f "$failed" "$log"' EXIT

# Without a limit, making an interesting input smaller takes up to a minute each, in which nothing new is tried.
fuzz() {
	{ go test -run '^$' -fuzz "^$1\$" -fuzztime "$time" -fuzzminimizetime 1x "./$2" </dev/null 2>&1 || echo "exit: failed"; } | tee "$log"
	! grep -q '^exit: failed$' "$log"
}

# out_of_time is true of a run that failed for nothing but that its time was over: about one in a hundred does, as Go's coordinator may take
# the deadline of its own for a failure (golang/go issue 75804). A true failure writes its input, or names a seed.
out_of_time() {
	grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input written|seed corpus entry|^panic:' "$log"
}

echo "$targets" | while IFS=: read -r file target; do
	target=${target#func }
	echo "fuzz: $(dirname "$file") $target for $time"
	tries=1
	until fuzz "$target" "$(dirname "$file")"; do
		if [ $tries = 3 ] || ! out_of_time; then
			echo "$target" >>"$failed"
			break
		fi
		tries=$((tries + 1))
		echo "fuzz: $target only ran out of its time; again (try $tries of 3)"
	done
done
if [ -s "$failed" ]; then
	echo "fuzz: failed: $(xargs <"$failed")" >&2
	exit 1
fi
