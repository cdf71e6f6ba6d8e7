package flowlog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vpclab/vpclab/ctrl/flowlog"
)

const defaultText = "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} ${bytes} " +
	"${start} ${end} ${action} ${log-status}"

func TestDefaultFormat(t *testing.T) {
	var zero flowlog.Format
	if got := zero.String(); got != defaultText {
		t.Errorf("the zero format is %s", got)
	}
	parsed, err := flowlog.ParseFormat(defaultText)
	if err != nil || parsed.String() != zero.String() {
		t.Errorf("parsed: %s, %v", parsed, err)
	}
	const header = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
	if got := zero.Header(); got != header {
		t.Errorf("header %s", got)
	}
}

func TestFormatVersion(t *testing.T) {
	for _, row := range []struct {
		text string
		want int
	}{
		{defaultText, 2},
		{"${srcaddr}", 2},
		{"${vpc-id} ${version}", 3},
		{"${tcp-flags} ${az-id}", 4},
		{"${flow-direction}\t${version}\n${region}", 5},
		{"${ecs-task-id}", 7},
		{"${reject-reason} ${srcaddr}", 8},
		{"${resource-id}", 9},
		{"${encryption-status}", 10},
		{flowlog.AllFields().String(), 10},
	} {
		f, err := flowlog.ParseFormat(row.text)
		if err != nil || f.Version() != row.want {
			t.Errorf("%s: version %d, %v; want %d", row.text, f.Version(), err, row.want)
		}
	}
}

func TestWrongFormats(t *testing.T) {
	for _, row := range []struct {
		text string
		at   int
		want string
	}{
		{"", 0, "it has no field; write one or more, such as ${srcaddr} ${dstaddr}"},
		{"  \n", 0, "it has no field"},
		{"${srcaddr} ${pkt-srcadr}", 13, `there is no field "pkt-srcadr"; did you mean pkt-srcaddr?`},
		{"${src_addr}", 2, `did you mean srcaddr?`},
		{"${srcaddr} dstaddr", 11, `"dstaddr" is not written as a field; write ${dstaddr}`},
		{"${srcaddr", 0, `write ${srcaddr}`},
		{"$srcaddr", 0, `"$srcaddr" is not written as a field; fields are written ${srcaddr}, with spaces between them`},
		{"${srcaddr},${dstaddr}", 2, `there is no field "srcaddr},${dstaddr"`},
		{"${srcaddr} ${dstaddr} ${srcaddr}", 22, "field srcaddr stands there twice"},
		{"${}", 2, `there is no field ""`},
		{"${tgw-attachment-id}", 2, `there is no field "tgw-attachment-id"`},
		{"${" + strings.Repeat("x", 1000) + "}", 2, `…"`},
	} {
		_, err := flowlog.ParseFormat(row.text)
		var e *flowlog.FormatError
		if !errors.As(err, &e) || e.At != row.at || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v (%+v); want %q at %d", row.text, err, e, row.want, row.at)
		}
	}
}

// What of the table nobody else spells out.
func TestFields(t *testing.T) {
	all := flowlog.Fields()
	if len(all) != 42 || all[0] != flowlog.Version || all[41] != flowlog.EncryptionStatus {
		t.Fatalf("fields %v", all)
	}
	kinds := map[flowlog.Kind]string{}
	for i, f := range all {
		if back, ok := flowlog.FieldOf(f.String()); !ok || back != f {
			t.Errorf("%s is found as %v", f, back)
		}
		if f.About() == "" || i > 0 && f.Version() < all[i-1].Version() {
			t.Errorf("%s: version %d, %q", f, f.Version(), f.About())
		}
		kinds[f.Kind()] += f.String() + " "
	}
	if got, want := kinds[flowlog.Int32], "version srcport dstport protocol tcp-flags traffic-path encryption-status "; got != want {
		t.Errorf("INT_32 are %s", got)
	}
	if got, want := kinds[flowlog.Int64], "packets bytes start end "; got != want {
		t.Errorf("INT_64 are %s", got)
	}
}

// A record without traffic says when and of whom, and nothing else.
func TestIdleRecordsOfAllFields(t *testing.T) {
	b := at(t, 1200)
	s := everything(t, "")
	s.Format = flowlog.AllFields()
	b.subscribe(s, 1200)
	b.join(1, instance(), "10.0.0.1")
	wants(t, b.lines(1260), "10 123456789010 eni-1235b8ca123456789 - - - - - - - 1200 1259 - NODATA"+strings.Repeat(" -", 28))
}

// FuzzFormat reads anything. A mistake has its place in the text; what is right reads the same when it is read again.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{
		defaultText, "", "${srcaddr} ${srcadr}", "${srcaddr} ${srcaddr}", "${version}${start}", "srcaddr", "${é}", "${a\x00}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		format, err := flowlog.ParseFormat(text)
		if err != nil {
			var e *flowlog.FormatError
			if !errors.As(err, &e) || e.At < 0 || e.At > len(text) || e.What == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := flowlog.ParseFormat(format.String())
		if err != nil || again.String() != format.String() {
			t.Fatalf("%q reads as %s and then as %s, %v", text, format, again, err)
		}
	})
}
