package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog/catalog"
	"github.com/vpclab/vpclab/ctrl/hostnet"
)

const logFormat = "${srcaddr} ${dstport} ${action}"

// aCatalog is that of a lab, shop, with two flow logs to files, web and reject.
func aCatalog() *catalog.Catalog {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	log := func(name string) catalog.Log {
		return catalog.Log{Name: name, ID: "fl-" + name, Traffic: "ALL", Interval: 60, Format: logFormat, Destination: "file:" + name + ".log",
			Due: noon.Add(time.Minute), State: catalog.State{Status: "SUCCESS"}}
	}
	return &catalog.Catalog{Lab: "shop", Now: noon, Written: noon, Logs: []catalog.Log{log("web"), log("reject")}}
}

func writeCatalog(t *testing.T, c *catalog.Catalog, dir string) {
	t.Helper()
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

const threeRecords = "srcaddr dstport action\n10.0.0.1 443 ACCEPT\n10.0.0.22 22 REJECT\n2001:db8::1 - ACCEPT\n"

func TestLogsShowsRecords(t *testing.T) {
	for _, row := range []struct {
		about, args, out string
	}{
		{"a table", "", "srcaddr      dstport  action\n10.0.0.1     443      ACCEPT\n10.0.0.22    22       REJECT\n2001:db8::1  -        ACCEPT\n"},
		{"lines as they are delivered", "--format raw", "10.0.0.1 443 ACCEPT\n10.0.0.22 22 REJECT\n2001:db8::1 - ACCEPT\n"},
		{"JSON", "--format json action=reject", `{"srcaddr":"10.0.0.22","dstport":22,"action":"REJECT"}` + "\n"},
		{"filters together", "--format raw action=ACCEPT srcaddr=2001:DB8:0::1", "2001:db8::1 - ACCEPT\n"},
		{"nothing that the filters want", "dstport=80", ""},
	} {
		m := newTwin(t.TempDir())
		m.labs = []hostnet.Leftover{{Lab: "dead"}, {Lab: "shop", Alive: true}}
		writeCatalog(t, aCatalog(), m.dir)
		appendTo(t, filepath.Join(m.dir, "web.log"), threeRecords)
		for _, where := range []string{"", " --lab shop", " --dir " + m.dir} {
			s := invoke(m, strings.Fields("logs web "+row.args+where)...)
			if s.status != statusPassed || s.out != row.out || s.err != "" {
				t.Errorf("%s%s: status %d, printed\n%sand said %q; want\n%s", row.about, where, s.status, s.out, s.err, row.out)
			}
		}
	}
}

func TestLogsSaysWhatIsWrong(t *testing.T) {
	shop, web, dead := hostnet.Leftover{Lab: "shop", Alive: true}, hostnet.Leftover{Lab: "web", Alive: true}, hostnet.Leftover{Lab: "dead"}
	for _, row := range []struct {
		about, args string
		labs        []hostnet.Leftover
		err         string
	}{
		{"no such log, but a near one", "rejects", []hostnet.Leftover{shop}, "lab shop has no flow log rejects; did you mean reject?; it has web, reject"},
		{"no such log at all", "zebra", []hostnet.Leftover{shop}, "lab shop has no flow log zebra; it has web, reject"},
		{"no flow logs", "web --lab web", []hostnet.Leftover{shop, web}, "lab web has no flow log"},
		{"no lab", "web", []hostnet.Leftover{dead}, "no lab runs; for what a run has left in its --out folder: --dir DIR"},
		{"several labs", "web", []hostnet.Leftover{shop, dead, web}, "2 labs run; name one, as in --lab shop: shop, web"},
		{"no such lab", "web --lab shp", []hostnet.Leftover{shop}, "no lab shp runs; did you mean shop?; there is shop"},
		{"a lab that is being built", "web --lab dead", []hostnet.Leftover{shop, dead}, "lab dead is not up yet, or not any more"},
		{"a field that the format lacks", "web dstaddr=10.0.0.1", []hostnet.Leftover{shop},
			"flow log web has no field dstaddr; its fields are srcaddr dstport action"},
		{"no field", "web port=1", []hostnet.Leftover{shop}, `condition "port=1": format, column 1: there is no field "port"`},
		{"a field misspelt", "web dstprt=1", []hostnet.Leftover{shop},
			`condition "dstprt=1": format, column 1: there is no field "dstprt"; did you mean dstport?`},
		{"no value of the field", "web dstport=https", []hostnet.Leftover{shop}, `condition "dstport=https": "https" is no dstport`},
		{"no condition", "web reject", []hostnet.Leftover{shop}, `condition "reject": write field=value, as dstport=443`},
		{"no name", "", []hostnet.Leftover{shop}, "vpclab logs: name a flow log, as in \"vpclab logs web action=REJECT\"\nsee \"vpclab logs --help\""},
		{"no such notation", "web --format xml", []hostnet.Leftover{shop},
			"vpclab logs: invalid argument \"xml\" for \"--format\" flag: neither table, raw nor json\nsee \"vpclab logs --help\""},
	} {
		m := newTwin(t.TempDir())
		m.labs = row.labs
		writeCatalog(t, aCatalog(), m.dir)
		writeCatalog(t, &catalog.Catalog{Lab: "web"}, m.dir)
		s := invoke(m, strings.Fields("logs "+row.args)...)
		if s.status != statusUsage || s.out != "" || s.err != row.err+"\n" {
			t.Errorf("%s: status %d, printed %q, said\n%swant\n%s", row.about, s.status, s.out, s.err, row.err)
		}
	}
	s := invoke(unremovable{newTwin(t.TempDir())}, "logs", "web")
	if s.status != statusMachine || s.err != "logs: lab secret: readable by root alone\n" {
		t.Errorf("without root: status %d, said %q", s.status, s.err)
	}
}

func TestLogsTellsOfDelivery(t *testing.T) {
	for _, row := range []struct {
		about, args string
		change      func(c *catalog.Catalog, l *catalog.Log)
		records     string
		err         string
	}{
		{"nothing yet", "", nil, "",
			"flow log web: nothing delivered yet; the next delivery is due at 2026-01-01 12:01:00 lab time (it is 2026-01-01 12:00:00)\n"},
		{"one waits", "", func(_ *catalog.Catalog, l *catalog.Log) { l.State.Waiting.Records = 1 }, threeRecords,
			"flow log web: delivery SUCCESS; 1 record waits for delivery; the next delivery is due at 2026-01-01 12:01:00 lab time " +
				"(it is 2026-01-01 12:00:00)\n"},
		{"all is well", "", nil, threeRecords, ""},
		{"all is well, at length", "-v", func(_ *catalog.Catalog, l *catalog.Log) { l.State.Delivered.Records = 3 }, threeRecords,
			"flow log web: delivery SUCCESS; the next delivery is due at 2026-01-01 12:01:00 lab time (it is 2026-01-01 12:00:00)\n" +
				"flow log web: 3 records delivered in this run to file:web.log\n"},
		{"the destination fails", "", func(_ *catalog.Catalog, l *catalog.Log) {
			l.State = catalog.State{Status: "FAILED", Cause: "Access error", Detail: "open x:\npermission denied", Waiting: catalog.Counts{Records: 7}}
		}, threeRecords, "flow log web: delivery FAILED: Access error: open x: permission denied; 7 records wait for delivery\n"},
		{"the lab has ended", "", func(c *catalog.Catalog, _ *catalog.Log) { c.Over = true }, "", "flow log web: nothing delivered yet; the lab has ended\n"},
		{"the log was removed", "", func(_ *catalog.Catalog, l *catalog.Log) { l.Ended, l.Due = true, time.Time{} }, "",
			"flow log web: nothing delivered yet; the flow log was removed\n"},
		{"an earlier life's records", "", func(_ *catalog.Catalog, l *catalog.Log) { l.State.Waiting.Records, l.Due = 2, time.Time{} }, "",
			"flow log web: nothing delivered yet; 2 records wait for delivery; the next delivery is due at once\n"},
		{"skipped", "", func(c *catalog.Catalog, l *catalog.Log) {
			c.Skipped = catalog.Skipped{Flows: 1, Packets: 2, Bytes: 80}
			l.State.Skipped = catalog.Counts{Records: 4, Packets: 9, Bytes: 900}
		}, threeRecords, "flow log web: 4 records were skipped (9 packets, 900 bytes), for which the spool had no room\n" +
			"flow log web: 1 flow was skipped in this lab (2 packets, 80 bytes), for which a window had no room\n"},
		{"somebody else's lines", "", nil, threeRecords + "nonsense\n\n", "flow log web: 2 lines there are of another format, and not shown\n"},
	} {
		m := newTwin(t.TempDir())
		m.labs = []hostnet.Leftover{{Lab: "shop", Alive: true}}
		c := aCatalog()
		if row.change != nil {
			row.change(c, &c.Logs[0])
		}
		writeCatalog(t, c, m.dir)
		if row.records != "" {
			appendTo(t, filepath.Join(m.dir, "web.log"), row.records)
		}
		s := invoke(m, strings.Fields("logs web dstport=443 --format raw "+row.args)...)
		if s.status != statusPassed || s.err != row.err {
			t.Errorf("%s: status %d, said\n%swant\n%s", row.about, s.status, s.err, row.err)
		}
	}
}

// A file that is there but no file is told, and is the command's failure.
func TestLogsSaysWhatItCannotRead(t *testing.T) {
	m := newTwin(t.TempDir())
	m.labs = []hostnet.Leftover{{Lab: "shop", Alive: true}}
	writeCatalog(t, aCatalog(), m.dir)
	if err := os.Mkdir(filepath.Join(m.dir, "web.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := invoke(m, "logs", "web")
	if s.status != statusBroken || !strings.HasSuffix(s.err, "web.log is no file that can be read back\n") {
		t.Errorf("status %d, said %q", s.status, s.err)
	}
}

// following is `logs --follow` in the background.
type following struct {
	out, err buffer
	ended    chan int
}

func follow(m machine, args ...string) *following {
	f := &following{ended: make(chan int, 1)}
	go func() {
		f.ended <- execute(append([]string{"logs", "web", "--follow", "--format", "raw"}, args...), m, plainConsole(&f.out, &f.err))
	}()
	return f
}

func (f *following) wants(t *testing.T, out string) {
	t.Helper()
	if !eventually(func() bool { return f.out.String() == out }) {
		t.Fatalf("printed %q, want %q", f.out.String(), out)
	}
}

// Records are printed as they come, whole and once, until the lab has ended, and then the last ones.
func TestLogsFollows(t *testing.T) {
	m := newTwin(t.TempDir())
	m.labs = []hostnet.Leftover{{Lab: "shop", Alive: true}}
	c := aCatalog()
	writeCatalog(t, c, m.dir)
	file := filepath.Join(m.dir, "web.log")
	for _, args := range [][]string{nil, {"--dir", m.dir}} {
		c.Over = false
		writeCatalog(t, c, m.dir)
		f := follow(m, append(args, "action=ACCEPT")...)
		appendTo(t, file, threeRecords[:len(threeRecords)-3])
		f.wants(t, "10.0.0.1 443 ACCEPT\n")
		appendTo(t, file, "PT\n")
		f.wants(t, "10.0.0.1 443 ACCEPT\n2001:db8::1 - ACCEPT\n")
		appendTo(t, file, "10.0.0.3 1 ACCEPT\n")
		c.Over = true
		writeCatalog(t, c, m.dir)
		if status := <-f.ended; status != statusPassed {
			t.Errorf("status %d, said %q", status, f.err.String())
		}
		f.wants(t, "10.0.0.1 443 ACCEPT\n2001:db8::1 - ACCEPT\n10.0.0.3 1 ACCEPT\n")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// A signal is the normal end, and so is the death of the lab's process, which tells nobody.
func TestLogsStopsFollowing(t *testing.T) {
	for about, stop := range map[string]func(*twin){
		"a signal":           func(*twin) { raise(t, syscall.SIGTERM) },
		"the folder is gone": func(m *twin) { _ = os.Remove(catalog.Path(m.dir, "shop")) },
	} {
		m := newTwin(t.TempDir())
		m.labs = []hostnet.Leftover{{Lab: "shop", Alive: true}}
		writeCatalog(t, aCatalog(), m.dir)
		appendTo(t, filepath.Join(m.dir, "web.log"), threeRecords)
		f := follow(m, "dstport=22")
		f.wants(t, "10.0.0.22 22 REJECT\n")
		stop(m)
		if status := <-f.ended; status != statusPassed {
			t.Errorf("%s: status %d, said %q", about, status, f.err.String())
		}
	}
	m := newTwin(t.TempDir())
	m.labs = []hostnet.Leftover{{Lab: "shop"}}
	writeCatalog(t, aCatalog(), m.dir)
	if status := <-follow(m, "--lab", "shop").ended; status != statusPassed {
		t.Errorf("a lab whose process is dead: status %d", status)
	}
}

// The rows of a terminal cannot move its cursor.
func TestLogsOnATerminal(t *testing.T) {
	var out, errs buffer
	c := plainConsole(&out, &errs)
	c.size = func() int { return 80 }
	m := newTwin(t.TempDir())
	m.labs = []hostnet.Leftover{{Lab: "shop", Alive: true}}
	writeCatalog(t, aCatalog(), m.dir)
	appendTo(t, filepath.Join(m.dir, "web.log"), "srcaddr dstport action\n10.0.0.1 1 \x1b[2JACCEPT\n")
	if status := execute([]string{"logs", "web"}, m, c); status != statusPassed || strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "ACCEPT") {
		t.Errorf("status %d, printed %q", status, out.String())
	}
}
