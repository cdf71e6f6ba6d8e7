package lab

import (
	"context"
	"errors"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/dataplane/flow"
)

// Records implements check.Lab.
func (l *Lab) Records(context.Context, uint64, flow.Tuple, []string) (map[string]check.Records, error) {
	return nil, errors.New("flow logs: not joined yet")
}
