package baseline

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// ruleset is what a person would write to protect the server as a VPC's default would: connections are tracked, new ones are
// admitted by network, protocol and port, and nothing else passes.
const ruleset = `table ip vpcbench {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iifname "client" ip saddr %[1]s ip daddr %[2]s tcp dport %[3]d accept
		iifname "client" ip saddr %[1]s ip daddr %[2]s udp dport %[3]d accept
	}
}
`

// filter loads the rule set into the router and returns the phrase that tells whether the router filters. A machine that cannot
// filter still forwards, which is a yardstick of its own, as long as the report says so.
func filter(router *namespace, nft string, port uint16) string {
	if nft == "" {
		return "no filter (nft is not installed)"
	}
	rules := fmt.Sprintf(ruleset, clientEnd.Masked(), serverEnd.Masked(), port)
	var refusal bytes.Buffer
	err := router.do(func() error {
		load := exec.Command(nft, "-f", "-")
		load.Stdin, load.Stderr = strings.NewReader(rules), &refusal
		return load.Run()
	})
	if err == nil {
		return "nftables filter with connection tracking"
	}
	cause, _, _ := strings.Cut(strings.TrimSpace(refusal.String()), "\n")
	if cause == "" {
		cause = err.Error()
	}
	return fmt.Sprintf("no filter (nft refused: %s)", cause)
}
