package check

import (
	"errors"
	"fmt"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// end is what an operation on the network came to, when that was not success. It is an error so that it travels up through readers
// and parsers.
type end struct {
	outcome scenario.Outcome
	detail  string
	mtu     int // of an ICMP error that carries one, in bytes
}

func (e *end) Error() string { return string(e.outcome) + ": " + e.detail }

// during says what a check was about when it came to its end.
func during(what string, err error) error {
	if e, ok := ended(err); ok {
		return &end{outcome: e.outcome, detail: what + ": " + e.detail, mtu: e.mtu}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ended splits an error into the outcome it stands for, if it does.
func ended(err error) (*end, bool) {
	var e *end
	ok := errors.As(err, &e)
	return e, ok
}
