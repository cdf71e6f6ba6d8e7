#!/bin/bash
# One request to the instance metadata service, with nothing but bash:
#
#	imds.sh [-6] [-t SECONDS] STATUS METHOD PATH [HEADER]...
#
# prints the body of the answer. It fails with 1 if the answer has another status, and with 28, as curl does, if none came within a
# second. -t gets a session token for so many seconds first and sends it along; -6 asks over IPv6.
set -eu

address=169.254.169.254
lasting=
while getopts 6t: option; do
	case $option in
	6) address=fd00:ec2::254 ;;
	t) lasting=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

ask() {
	local want=$1 method=$2 path=$3 line status
	shift 3
	exec 3<>"/dev/tcp/$address/80"
	printf '%s\r\n' "$method $path HTTP/1.0" "Host: $address" "$@" '' >&3
	read -r -t 1 _ status _ <&3 || exit 28
	while read -r line <&3 && [ "$line" != $'\r' ]; do :; done
	if [ "$status" != "$want" ]; then
		echo "status $status instead of $want" >&2
		exit 1
	fi
	cat <&3
	exec 3>&-
}

if [ -n "$lasting" ]; then
	token=$(ask 200 PUT /latest/api/token "X-aws-ec2-metadata-token-ttl-seconds: $lasting")
	ask "$@" "X-aws-ec2-metadata-token: $token"
else
	ask "$@"
fi
