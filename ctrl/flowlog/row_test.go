package flowlog_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

const line = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"

func parsed(t *testing.T, format, line string) flowlog.Row {
	t.Helper()
	f, err := flowlog.ParseHeader(format)
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseBack(t *testing.T) {
	var format flowlog.Format
	r, err := format.Parse(line)
	if err != nil || r.String() != line {
		t.Fatalf("%s, %v", r, err)
	}
	if v, ok := r.Value(flowlog.DstPort); v != "22" || !ok {
		t.Errorf("dstport %q", v)
	}
	if v, ok := r.Value(flowlog.VPCID); v != "" || ok {
		t.Errorf("vpc-id %q", v)
	}
	for wrong, want := range map[string]string{
		"":         "record has 1 values, its format 14",
		line + " ": "record has 15 values",
		strings.Replace(line, "20641", "20641x", 1):                `"20641x" is no srcport`,
		strings.Replace(line, "172.31.16.21", "here", 1):           `"here" is no dstaddr`,
		strings.Replace(line, "172.31.16.21", "fe80::%a", 1):       `"fe80::%a" is no dstaddr`,
		strings.Replace(line, "ACCEPT", "", 1):                     `"" is no action`,
		strings.Replace(line, " 4249", " 99999999999999999999", 1): `is no bytes`,
	} {
		if r, err := format.Parse(wrong); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", wrong, r, err, want)
		}
	}
	if _, err := flowlog.ParseHeader("srcaddr dstadr"); err == nil || !strings.Contains(err.Error(), "did you mean dstaddr?") {
		t.Errorf("header: %v", err)
	}
}

func TestFilter(t *testing.T) {
	r := parsed(t, "interface-id srcaddr dstport action", "eni-1 2001:db8::1 443 ACCEPT")
	for _, row := range []struct {
		conditions string
		want       bool
	}{
		{"dstport=443", true},
		{"dstport=44", false},
		{"action=accept dstport=443", true},
		{"action=accept dstport=80", false},
		{"srcaddr=2001:0db8:0::0:1", true},
		{"protocol=6", false}, // the format does not have it
		{"action=-", false},
	} {
		var filter flowlog.Filter
		for text := range strings.SplitSeq(row.conditions, " ") {
			c, err := flowlog.ParseCondition(text)
			if err != nil {
				t.Fatal(err)
			}
			filter = append(filter, c)
		}
		if got := filter.Match(r); got != row.want {
			t.Errorf("%s: %v", row.conditions, got)
		}
		if missing := filter.Missing(r.Format()); (len(missing) > 0) != (row.conditions == "protocol=6") {
			t.Errorf("%s: missing %v", row.conditions, missing)
		}
	}
	if !(flowlog.Filter{}).Match(r) {
		t.Error("no condition is not met")
	}
	for text, want := range map[string]string{
		"dstport":     "write field=value",
		"dstprt=1":    "did you mean dstport?",
		"dstport=abc": `"abc" is no dstport`,
		"srcaddr=web": `"web" is no srcaddr`,
	} {
		if _, err := flowlog.ParseCondition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestPrint(t *testing.T) {
	rows := []flowlog.Row{
		parsed(t, "interface-id dstport action", "eni-1 443 ACCEPT"),
		parsed(t, "interface-id dstport action", "eni-22222 8 REJECT"),
		parsed(t, "srcaddr packets", "- -"),
	}
	for n, want := range map[flowlog.Notation]string{
		flowlog.Table: "interface-id  dstport  action\neni-1         443      ACCEPT\n" +
			"eni-22222     8        REJECT\nsrcaddr  packets\n-        -\n", // the second call's rows stand under those of the first
		flowlog.Raw: "eni-1 443 ACCEPT\neni-22222 8 REJECT\n- -\n",
		flowlog.JSON: `{"interface-id":"eni-1","dstport":443,"action":"ACCEPT"}` + "\n" +
			`{"interface-id":"eni-22222","dstport":8,"action":"REJECT"}` + "\n" + `{"srcaddr":null,"packets":null}` + "\n",
	} {
		var out strings.Builder
		p := flowlog.NewPrinter(&out, n)
		if err := errors.Join(p.Print(rows[:1]), p.Print(rows[1:])); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", n, got, want)
		}
	}
	if _, err := flowlog.ParseNotation("xml"); err == nil {
		t.Error("xml is a notation")
	}
	if n, err := flowlog.ParseNotation("raw"); n != flowlog.Raw || err != nil {
		t.Error(n, err)
	}
}

// What is written is read back as it was, whatever the fields.
func TestRowsOfRecords(t *testing.T) {
	i := instance()
	r := flowlog.Record{Of: &i, Tuple: tcp("10.0.0.1", 1, "203.0.113.5", 443), Accept: true, Packets: 1, Bytes: 40, Start: 1, End: 2}
	row := flowlog.AllFields().Row(&r)
	again, err := flowlog.AllFields().Parse(row.String())
	if err != nil || again.String() != row.String() {
		t.Errorf("%s reads as %s, %v", row, again, err)
	}
}

// FuzzRecord reads anything in any format. What is taken is written again byte for byte, and its JSON is valid.
func FuzzRecord(f *testing.F) {
	f.Add(flowlog.Format{}.Header(), line)
	f.Add("srcaddr packets", "- -")
	f.Add("action", "\xff")
	f.Add("bytes", "0x10")
	f.Add("tcp-flags", "+19")
	f.Fuzz(func(t *testing.T, header, line string) {
		format, err := flowlog.ParseHeader(header)
		if err != nil {
			return
		}
		r, err := format.Parse(line)
		if err != nil {
			return
		}
		if r.String() != line {
			t.Fatalf("%q is written as %q", line, r)
		}
		var out strings.Builder
		if err := flowlog.NewPrinter(&out, flowlog.JSON).Print([]flowlog.Row{r}); err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(out.String())) {
			t.Fatalf("%q is %s", line, out.String())
		}
	})
}
