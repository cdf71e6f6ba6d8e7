#!/bin/sh
# Runs the linters. Each is here because it finds what the others and the tests do not; versions are pinned in tools/go.mod, which is
# a module of its own, so that nobody who builds vpclab downloads them.
set -eu
cd "$(dirname "$0")/.."

bin=$PWD/bin
GOBIN=$bin go install -C tools tool
failed=
complain() {
	echo "lint: $1" >&2
	failed=1
}

# gofmt: one layout, no discussion.
unformatted=$(git ls-files '*.go' | xargs gofmt -s -l)
[ -z "$unformatted" ] || complain "gofmt -s would change: $unformatted"

# vet: the mistakes that the Go team found worth a check in every project (copied locks, wrong format verbs, lost cancels).
go vet ./... || complain "go vet"

# staticcheck: wrong uses of the standard library, code that cannot do what it says, unused code inside a package, style of errors.
"$bin/staticcheck" ./... || complain "staticcheck"

# errcheck: errors swallowed by not looking. Tests may drop them: what they assert is what they need.
"$bin/errcheck" -ignoretests -exclude tools/errcheck.txt ./... || complain "errcheck: handle the error, or drop it in sight by _ ="

# unparam: parameters that always get the same value and results that nobody reads: abstractions that nothing needed.
"$bin/unparam" ./... || complain "unparam"

# deadcode: functions that neither a program nor a test reaches; staticcheck cannot know this of exported ones.
dead=$("$bin/deadcode" -test ./...)
[ -z "$dead" ] || complain "deadcode: $dead"

# The shell has no compiler but shellcheck. It is no Go program, so a developer's machine may lack it; CI's must not.
if command -v shellcheck >/dev/null; then
	git ls-files '*.sh' .ci/run | xargs shellcheck || complain "shellcheck"
elif [ "${CI:-}" = true ]; then
	complain "shellcheck is not installed: apt-get install shellcheck"
else
	echo "lint: shell scripts not checked: apt-get install shellcheck" >&2
fi

[ -z "$failed" ]
