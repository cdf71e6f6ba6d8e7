package hostnet

import (
	"fmt"
	"regexp"
	"strings"
)

// The stamps.
const (
	namePrefix  = "vpclab-"
	aliasPrefix = "vpclab:"
	// linkGroup is the link group of every eN and tN: one message removes them all. Links on their way out are moved to doomedGroup
	// first, so that a few are removed for the price of one.
	linkGroup   = 0x76706c
	doomedGroup = linkGroup + 1
)

// labName is the rule for names in scenario files. It has no dot, so that one lab's stamp is never the beginning of another's.
var labName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

func checkLabName(lab string) error {
	if !labName.MatchString(lab) {
		return fmt.Errorf("lab name %q: want a lower-case letter and up to 30 letters, digits or hyphens", lab)
	}
	return nil
}

// FabricNamespace is the name of the namespace that holds every eN and tN of a lab.
func FabricNamespace(lab string) string { return namePrefix + lab + "._fabric" }

// BackboneNamespace is the name of the namespace in which the encrypted links between VPCs have their sockets.
func BackboneNamespace(lab string) string { return namePrefix + lab + "._backbone" }

// ServicesNamespace is the name of the namespace in which the services of a lab have their sockets.
func ServicesNamespace(lab string) string { return namePrefix + lab + "._svc" }

func stampOf(lab string) string { return namePrefix + lab + "." }

func aliasOf(lab string) string { return aliasPrefix + lab }

// labOf is the lab that a namespace is stamped with.
func labOf(namespace string) (lab string, ok bool) {
	rest, ok := strings.CutPrefix(namespace, namePrefix)
	if !ok {
		return "", false
	}
	lab, _, ok = strings.Cut(rest, ".")
	return lab, ok && labName.MatchString(lab)
}
