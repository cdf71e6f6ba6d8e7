package catalog

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
)

// Catalog is all of a lab's flow logs at some time.
type Catalog struct {
	Lab     string    `json:"lab"`
	Dir     string    `json:"dir,omitempty"` // below which buckets and log groups are; empty: where the catalog itself is
	Rate    float64   `json:"rate"`          // of lab time
	Now     time.Time `json:"now"`           // lab time when this was written
	Written time.Time `json:"written"`       // real time of that
	Over    bool      `json:"over"`          // the lab has ended, and delivers no more
	Skipped Skipped   `json:"skipped"`       // by the lab's windows, for want of room
	Logs    []Log     `json:"logs"`
}

// Skipped counts what was seen and not recorded.
type Skipped struct {
	Flows   uint64 `json:"flows"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Log is one flow log.
type Log struct {
	Name        string    `json:"name"`
	ID          string    `json:"id"`
	Resource    string    `json:"resource"`
	Traffic     string    `json:"traffic"`
	Interval    int       `json:"interval_s"`
	Format      string    `json:"format"`
	Destination string    `json:"destination"`
	Endpoint    string    `json:"endpoint,omitempty"` // of the service that has the records; empty if they are in a folder
	Parquet     bool      `json:"parquet,omitempty"`
	Ended       bool      `json:"ended,omitempty"` // it was removed, or is of an earlier run; its records stay
	Due         time.Time `json:"due,omitzero"`    // lab time of the next delivery; zero if none will come by itself
	State       State     `json:"state"`
}

// State is how a log's delivery goes.
type State struct {
	Status    string    `json:"status"` // SUCCESS or FAILED
	Cause     string    `json:"cause,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Failures  int       `json:"failures,omitempty"` // in a row
	Retry     time.Time `json:"retry,omitzero"`     // lab time before which it is not tried again after a failure
	Delivered Counts    `json:"delivered"`          // by the lab's process
	Waiting   Counts    `json:"waiting"`            // in the spool
	Skipped   Counts    `json:"skipped"`            // for which the spool had no room
}

// Counts are totals of records.
type Counts struct {
	Records uint64 `json:"records"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// LogOf is what a catalog says of a subscription, without its state.
func LogOf(name string, s *flowlog.Subscription) Log {
	return Log{
		Name: name, ID: s.ID, Resource: s.Resource, Traffic: s.Traffic.String(), Interval: int(s.Interval / time.Second),
		Format: s.Format.String(), Destination: s.Destination.String(), Parquet: s.Destination.Parquet,
	}
}

// StateOf is the state of a delivery as a catalog says it.
func StateOf(s delivery.State) State {
	return State{
		Status: s.Status(), Cause: string(s.Cause), Detail: s.Detail, Failures: s.Failures, Retry: s.Next,
		Delivered: Counts(s.Delivered), Waiting: Counts(s.Waiting), Skipped: Counts(s.Skipped),
	}
}

// Time is the lab time at a real time, as far as one can tell from outside: the lab's clock may have jumped meanwhile.
func (c *Catalog) Time(real time.Time) time.Time {
	if c.Over {
		return c.Now
	}
	return c.Now.Add(time.Duration(float64(real.Sub(c.Written)) * c.Rate))
}

// Find is the log of a name: the one that has not ended, if several had it. It is nil if there is none.
func (c *Catalog) Find(name string) *Log {
	var found *Log
	for i := range c.Logs {
		if l := &c.Logs[i]; l.Name == name && (found == nil || found.Ended) {
			found = l
		}
	}
	return found
}

// Names are the names of the logs, each once.
func (c *Catalog) Names() []string {
	var names []string
	for _, l := range c.Logs {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	return names
}

const (
	fileBeginning = ".flow-logs-"
	fileEnding    = ".json"
)

// Path is where a lab's catalog is in a folder.
func Path(dir, lab string) string { return filepath.Join(dir, fileBeginning+lab+fileEnding) }

// Labs are the labs that have a catalog in a folder.
func Labs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var labs []string
	for _, e := range entries {
		lab, begins := strings.CutPrefix(e.Name(), fileBeginning)
		lab, ends := strings.CutSuffix(lab, fileEnding)
		if begins && ends {
			labs = append(labs, lab)
		}
	}
	return labs, nil
}

// Write puts a catalog in a folder, whole or not at all.
func (c *Catalog) Write(dir string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	path := Path(dir, c.Lab)
	unfinished := path + ".part"
	if err = os.WriteFile(unfinished, append(data, '\n'), 0o644); err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		_ = os.Remove(unfinished) // the disk may be full
	}
	return err
}

// Read reads the catalog of a lab in a folder. The error is fs.ErrNotExist if there is none.
func Read(dir, lab string) (*Catalog, error) {
	path := Path(dir, lab)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := new(Catalog)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Dir == "" {
		c.Dir = dir
	}
	return c, nil
}

// FollowersPath is a file in a lab's folder on which those who follow its flow logs hold a shared lock (flock) until they have read the
// last of them: a lab whose records go with it waits for them, but not for long.
func FollowersPath(dir string) string { return filepath.Join(dir, "followers") }
