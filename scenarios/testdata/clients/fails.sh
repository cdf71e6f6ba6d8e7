#!/bin/sh
# fails.sh PATTERN PROGRAM ARG...: the program fails, and what it writes says why: it fits the shell's PATTERN.
pattern=$1
shift
if output=$("$@" 2>&1); then
	printf '%s\n%s succeeds\n' "$output" "$1"
	exit 1
fi
printf '%s\n' "$output"
# shellcheck disable=SC2254 # it is a pattern
case $output in
$pattern) ;;
*)
	echo "$1 does not say: $pattern"
	exit 1
	;;
esac
