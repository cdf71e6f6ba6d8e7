#!/bin/bash
# Asks a time server with nothing but bash and prints what time it is there, in whole seconds since 1900 (RFC 4330).
#
#	sntp.sh ADDRESS
set -eu
exec 3<>"/dev/udp/$1/123"
printf '#%047d' 0 >&3 # a client of version 4; what it says beyond that does not matter
timeout 2 head -c 48 <&3 | od -An -tu4 --endian=big -j40 -N4 | xargs
