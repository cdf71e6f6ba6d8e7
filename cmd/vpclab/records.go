package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/flowlog"
)

// loggedJSON is a flow-log record in a check's document: fields that do not apply are null.
type loggedJSON struct {
	Log    string          `json:"log"`
	Record json.RawMessage `json:"record"`
}

func encodeLogs(logs []check.Logged) []loggedJSON {
	all := make([]loggedJSON, len(logs))
	for i, l := range logs {
		all[i] = loggedJSON{l.Log, json.RawMessage(printed(flowlog.JSON, l.Row))}
	}
	return all
}

// printed shows rows of one format.
func printed(n flowlog.Notation, rows ...flowlog.Row) string {
	var b bytes.Buffer
	if err := flowlog.NewPrinter(&b, n).Print(rows); err != nil {
		panic(err) // memory takes all that is written
	}
	return strings.TrimRight(b.String(), "\n")
}

// maxRecords is how many records the explanation of a failed check shows.
const maxRecords = 10

// recordsNear shows the records that a check failed over, each with the fields in which it is not the one that was looked for.
func recordsNear(w *check.WrongRecord) string {
	shown := w.Near[:min(len(w.Near), maxRecords)]
	if len(shown) == 0 {
		return ""
	}
	rows := make([]flowlog.Row, len(shown))
	for i, near := range shown {
		rows[i] = near.Row
	}
	lines := strings.Split(printed(flowlog.Table, rows...), "\n")
	for i, near := range shown {
		if len(near.Differs) > 0 {
			lines[i+1] += "  -- differs in " + fieldNames(near.Differs)
		}
	}
	if more := len(w.Near) - len(shown); more > 0 {
		lines = append(lines, "("+count(more, "more record")+")")
	}
	return strings.Join(lines, "\n")
}

func fieldNames(fields []flowlog.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.String()
	}
	return strings.Join(names, ", ")
}
