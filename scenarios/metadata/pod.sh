#!/bin/bash
# Runs a command as container platforms run pods on an instance: in a network of its own one hop behind it, under a secondary address of
# the instance's interface.
#
#	pod.sh ADDRESS COMMAND...
set -eu

address=$1
shift
ip addr del "$address/24" dev eth0 2>/dev/null || : # from now on it is the pod's
trap 'ip link del pod 2>/dev/null || :' EXIT # else it stays for a moment, and the next pod fails
# shellcheck disable=SC2016 # the pod's shell expands it
coproc pod {
	exec unshare -n bash -ec 'echo; read -r
		ip link set eth0 up; ip addr add "$0/32" dev eth0; ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1
		exec "$@" >&2' "$address" "$@"
}
# shellcheck disable=SC2154 # coproc assigns it, and forgets it when the pod ends
pid=$pod_PID
read -r -u "${pod[0]}"
ip link add pod type veth peer name eth0 netns "$pid"
ip addr add 169.254.1.1/32 dev pod
ip link set pod up
ip route add "$address" dev pod
echo >&"${pod[1]}"
wait "$pid"
