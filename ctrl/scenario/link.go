package scenario

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/vpc"
)

// The bounds of a peering connection's link.
const (
	maxDelay = 10 * time.Second
	minRate  = 1e3  // bits per second
	maxRate  = 1e12 // bits per second
)

// decodeLink reads a link whose values were checked by their shapes.
func decodeLink(n *node) vpc.Link {
	var link vpc.Link
	link.Delay, _ = parseDelay(textOf(n.get("delay")))
	link.Loss, _ = parseLoss(textOf(n.get("loss")))
	link.Rate, _ = parseRate(textOf(n.get("rate")))
	return link
}

// parseDelay reads the time that a packet takes on a link.
func parseDelay(s string) (time.Duration, *fault) {
	d, f := parseDuration(s)
	switch {
	case f != nil:
		return 0, f
	case d > maxDelay:
		return 0, faultf(0, "write one such as 60ms", "a link's delay is at most %v, not %s", maxDelay, quote(s))
	}
	return d, nil
}

// parseLoss reads a percentage as a part of 1.
func parseLoss(s string) (float64, *fault) {
	percent, ok := strings.CutSuffix(s, "%")
	if !compiled(`^[0-9]+(\.[0-9]+)?$`).MatchString(percent) {
		return 0, faultf(0, "write one such as 0.1%", "%s is not a percentage", quote(s))
	}
	n, err := strconv.ParseFloat(percent, 64)
	switch {
	case !ok:
		return 0, faultf(0, "write "+quote(s+"%"), "%s is not a percentage", quote(s))
	case err != nil || n > 100:
		return 0, faultf(0, "it goes from 0% to 100%", "%s is more than all packets", quote(s))
	}
	return n / 100, nil
}

// rateUnits are tc's words for bits per second; their multiples are decimal.
var rateUnits = map[string]float64{"bit": 1, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}

var rateForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([A-Za-z/]*)$`)

// parseRate reads bits per second.
func parseRate(s string) (uint64, *fault) {
	const hint = "write one such as 64kbit, 100Mbit or 1Gbit"
	parts := rateForm.FindStringSubmatch(s)
	if parts == nil {
		return 0, faultf(0, hint, "%s is not a rate", quote(s))
	}
	unit, ok := rateUnits[parts[2]]
	if !ok {
		return 0, faultf(len(parts[1]), nearUnit(parts[1], parts[2], hint), "%s is not a rate", quote(s))
	}
	n, err := strconv.ParseFloat(parts[1], 64)
	if n *= unit; err != nil || n < minRate || n > maxRate {
		return 0, faultf(0, "it goes from 1kbit to 1000Gbit", "%s is no rate that a link can have", quote(s))
	}
	return uint64(n), nil
}

// nearUnit is the hint for a rate in another unit: the same number in the one that was probably meant.
func nearUnit(number, unit, otherwise string) string {
	known := []string{"bit", "kbit", "Mbit", "Gbit"}
	short := strings.NewReplacer("bit/s", "bit", "bits", "bit", "bps", "bit", "b/s", "bit").Replace(unit)
	for _, candidate := range known {
		if strings.EqualFold(candidate, short) || strings.EqualFold(candidate, short+"bit") && short != "" {
			return "did you mean " + quote(number+candidate) + "?"
		}
	}
	return otherwise
}

func checkDelay(s string) *fault {
	_, f := parseDelay(s)
	return f
}

func checkLoss(s string) *fault {
	_, f := parseLoss(s)
	return f
}

func checkLinkRate(s string) *fault {
	_, f := parseRate(s)
	return f
}
