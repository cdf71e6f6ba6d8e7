#!/bin/sh
# Runs every fuzz target for a while, as many at once as there are processors: fuzz.sh [TIME] (10s unless given; soaking takes 10m). A
# target that fails leaves its input in the package's testdata/fuzz, where `go test` runs it from then on: commit it with the correction.
set -eu
cd "$(dirname "$0")/.."

# out_of_time is true of a run that failed for nothing but that its time was over: about one in a hundred does, as Go's coordinator may take
# the deadline of its own for a failure (golang/go issue 75804). A true failure writes its input, or names a seed.
out_of_time() {
	grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input written|seed corpus entry|^panic:' "$log"
}

if [ "${1:-}" = --target ]; then # TIME FILE:func NAME
	time=$2 file=${3%%:*} target=${3##*func }
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	for try in 1 2 3; do
		# Without a limit, making an interesting input smaller takes up to a minute each, in which nothing new is tried.
		if go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1x -parallel 1 "./$(dirname "$file")" </dev/null >"$log" 2>&1; then
			echo "fuzz: $target: $(grep '^fuzz: elapsed' "$log" | tail -n 1)"
			exit
		fi
		cat "$log"
		out_of_time || break
		echo "fuzz: $target only ran out of its time (try $try of 3)"
	done
	echo "fuzz: $target failed"
	exit 1
fi

git grep -oE '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | tr '\n' '\0' | xargs -0 -n 1 -P "$(nproc)" "$0" --target "${1:-10s}"
