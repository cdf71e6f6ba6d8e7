#!/bin/sh
# Regenerates what is generated and committed: the C header and the page of drop reasons, the eBPF objects and their Go bindings.
# The result does not depend on where the repository lies; CI runs this and fails if anything differs.
set -eu
cd "$(dirname "$0")/.."

version=19
hint="apt-get install clang-$version llvm-$version libbpf-dev linux-libc-dev (https://apt.llvm.org has them for older systems)"

fail() {
	echo "generate-ebpf: $1: $hint" >&2
	exit 1
}

for tool in "clang-$version" "llvm-strip-$version"; do
	command -v "$tool" >/dev/null || fail "$tool is not installed"
done
# <asm/types.h> lies in a folder of the machine's own on Debian and Ubuntu, and beside <linux/types.h> elsewhere.
arch=/usr/include/$(uname -m)-linux-gnu
[ -e "$arch/asm/types.h" ] || arch=/usr/include
[ -e "$arch/asm/types.h" ] || fail "asm/types.h is missing"
[ -e /usr/include/bpf/bpf_helpers.h ] || fail "bpf/bpf_helpers.h is missing"

export BPF2GO_CC="clang-$version" BPF2GO_STRIP="llvm-strip-$version"
export BPF2GO_CFLAGS="-mcpu=v3 -Wall -Wextra -Werror -idirafter $arch"
go generate ./dataplane/flow ./ebpf/fastpath
