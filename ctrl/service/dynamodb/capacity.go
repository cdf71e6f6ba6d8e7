package dynamodb

// measured is in every request that may ask for the capacity that it consumes.
type measured struct{ ReturnConsumedCapacity string }

func (m measured) check() error {
	return enum("returnConsumedCapacity", m.ReturnConsumedCapacity, "INDEXES", "TOTAL", "NONE")
}

// of is the member ConsumedCapacity of an answer; nil if it is not wanted.
func (m measured) of(table string, units float64) map[string]any {
	if m.ReturnConsumedCapacity != "TOTAL" && m.ReturnConsumedCapacity != "INDEXES" {
		return nil
	}
	c := map[string]any{"TableName": table, "CapacityUnits": units}
	if m.ReturnConsumedCapacity == "INDEXES" {
		c["Table"] = map[string]any{"CapacityUnits": units}
	}
	return c
}

// add gives an answer the member ConsumedCapacity, if it is wanted.
func (m measured) add(answer map[string]any, table string, units float64) {
	if c := m.of(table, units); c != nil {
		answer["ConsumedCapacity"] = c
	}
}

// addAll is add for an answer about several tables.
func (m measured) addAll(answer map[string]any, units map[string]float64) {
	var all []map[string]any
	for _, table := range sortedKeys(units) {
		if c := m.of(table, units[table]); c != nil {
			all = append(all, c)
		}
	}
	if all != nil {
		answer["ConsumedCapacity"] = all
	}
}

// readUnits is what reading so many bytes takes: one for each 4 KB, half of it where an old answer is good enough.
func readUnits(bytes int, consistent bool) float64 {
	units := float64(max(1, (bytes+4095)/4096))
	if !consistent {
		units /= 2
	}
	return units
}

// writeUnits is what writing an item takes: one for each KB of the larger of what was and what is.
func writeUnits(w written) float64 {
	return float64(max(1, (max(w.old.Size(), w.now.Size())+1023)/1024))
}
