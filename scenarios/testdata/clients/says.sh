#!/bin/sh
# says.sh PATTERN PROGRAM ARG...: the program succeeds, and all that it writes fits the shell's PATTERN.
pattern=$1
shift
output=$("$@" 2>&1)
status=$?
printf '%s\n' "$output"
if [ $status != 0 ]; then
	echo "$1: exit status $status"
	exit 1
fi
# shellcheck disable=SC2254 # it is a pattern
case $output in
$pattern) ;;
*)
	echo "$1 does not say: $pattern"
	exit 1
	;;
esac
