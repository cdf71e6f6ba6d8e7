package hostnet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExpedited: the switch is on while the work is done, and afterwards as it was, also if somebody died in between.
func TestExpedited(t *testing.T) {
	tests := []struct {
		name          string
		before        string // "" means that there is no such switch
		died          bool
		during, after string
	}{
		{"off before", "0", false, "1", "0"},
		{"on before, by somebody else", "1", false, "1", "1"},
		{"left on by a process of this lab that died", "1", true, "1", "0"},
		{"a kernel without it", "", false, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := store{root: t.TempDir()}
			if err := os.Mkdir(s.dir("x"), 0o700); err != nil {
				t.Fatal(err)
			}
			knob, mark := filepath.Join(t.TempDir(), "knob"), filepath.Join(s.dir("x"), expeditedMark)
			read := func() string {
				b, err := os.ReadFile(knob)
				if err != nil {
					return ""
				}
				return strings.TrimSpace(string(b))
			}
			if test.before != "" {
				if err := os.WriteFile(knob, []byte(test.before+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.died {
				if err := os.WriteFile(mark, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			failure := errors.New("failure")
			err := s.expedited("x", knob, func() error {
				if read() != test.during {
					t.Errorf("meanwhile the switch is %q, want %q", read(), test.during)
				}
				return failure
			})
			if !errors.Is(err, failure) || read() != test.after {
				t.Errorf("error %v; afterwards the switch is %q, want %q", err, read(), test.after)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("the mark is left")
			}
		})
	}
}
