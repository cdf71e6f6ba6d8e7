package scenario

import (
	"slices"
	"strings"
)

// zone takes an availability zone down, or brings it up again: the lab is the same but for that. Zones in which no subnet lies are a
// mistake, since nothing would happen.
func (st *state) zone(n int, at *node, z Zone) {
	var zones []string
	for _, v := range st.model.VPCs {
		for _, s := range v.Subnets {
			if !slices.Contains(zones, s.AZ) {
				zones = append(zones, s.AZ)
			}
		}
	}
	slices.Sort(zones)
	down := slices.Contains(st.down, z.Name)
	var f *fault
	switch {
	case z.Down && down:
		f = faultf(0, "bring it up with `az_up` first", "%s is down already", quote(z.Name))
	case !z.Down && !down:
		f = faultf(0, didYouMean(z.Name, st.down, "down are"), "%s is not down", quote(z.Name))
	case z.Down && !slices.Contains(zones, z.Name):
		f = faultf(0, didYouMean(z.Name, zones, "they are in"), "no subnet of the lab is in %s", quote(z.Name))
	}
	if f != nil {
		if st.sound {
			st.wrong(at, f)
		}
		return
	}
	st.down = slices.DeleteFunc(slices.Clone(st.down), func(other string) bool { return other == z.Name })
	if z.Down {
		st.down = append(st.down, z.Name)
		slices.SortFunc(st.down, strings.Compare)
	}
	if st.sound && st.affords(at.place) {
		st.again(n, at.place)
	}
}
