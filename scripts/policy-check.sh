#!/bin/sh
# Compares ctrl/policy with an independent implementation of IAM policies on random cases. It needs node and npm. The other one is under the
# AGPL: it is fetched for the comparison, runs as a program of its own, and no part of it is in vpclab.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp scripts/policy-check/* "$work"
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)

go test ./ctrl/policy -run '^TestAgainstIndependent$' -count=1 -cases "$work/cases"
node "$work/ask.mjs" <"$work/cases" >"$work/answers"
sort "$work/answers" | uniq -c
go test ./ctrl/policy -run '^TestAgainstIndependent$' -count=1 -answers "$work/answers"
