package vpc

import (
	"fmt"
	"regexp"
	"strings"
)

var zonePattern = regexp.MustCompile(`^([a-z]{2})((?:-[a-z]+)+)-([0-9]+)([a-z])$`)

// ZoneID is an availability zone's ID by its name: use1-az1 for us-east-1a, apse2-az3 for ap-southeast-2c; empty for what is no name of
// a zone. AWS hands out the letters in another order in each account, so that not everybody's us-east-1a is the same place, and some
// regions leave out a number; here every account has a for az1, b for az2 (AWS RAM user guide, availability zone IDs).
func ZoneID(zone string) string {
	parts := zonePattern.FindStringSubmatch(zone)
	if parts == nil {
		return ""
	}
	prefix := parts[1]
	for _, word := range strings.Split(parts[2], "-")[1:] {
		prefix += initials(word)
	}
	return fmt.Sprintf("%s%s-az%d", prefix, parts[3], parts[4][0]-'a'+1)
}

// initials are those of a word in a region's name: ne for northeast, c for central, g for gov.
func initials(word string) string {
	for _, half := range []string{"north", "south"} {
		if rest, ok := strings.CutPrefix(word, half); ok && rest != "" {
			return half[:1] + rest[:1]
		}
	}
	return word[:1]
}
