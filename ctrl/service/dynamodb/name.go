package dynamodb

import (
	"context"
	"regexp"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service"
	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// tableName names one table of the lab.
type tableName struct{ Account, Region, Name string }

func (n tableName) arn() string {
	return "arn:aws:dynamodb:" + n.Region + ":" + n.Account + ":table/" + n.Name
}

// key is the name in the store. Neither accounts nor regions have a slash in them.
func (n tableName) key() []byte { return []byte(n.Account + "/" + n.Region + "/" + n.Name) }

func nameOfKey(key []byte) tableName {
	account, rest, _ := strings.Cut(string(key), "/")
	region, name, _ := strings.Cut(rest, "/")
	return tableName{account, region, name}
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// resolve is the table that a request means: a name is the caller's in the region that was asked, an ARN is anybody's there.
func (s *Server) resolve(ctx context.Context, table string) (tableName, error) {
	n := tableName{Account: s.account(ctx), Region: service.From(ctx).Region, Name: table}
	if strings.HasPrefix(table, "arn:") {
		parts := strings.SplitN(table, ":", 6)
		name, ok := strings.CutPrefix(parts[len(parts)-1], "table/")
		if len(parts) != 6 || parts[2] != "dynamodb" || !ok {
			return n, attribute.Invalidf("Invalid table ARN: %s", table)
		}
		if parts[3] != n.Region {
			return n, attribute.Invalidf("Invalid table ARN: %s is not of this endpoint's region, %s", table, n.Region)
		}
		n.Account, n.Name = parts[4], name
	}
	if n.Name == "" {
		return n, attribute.Invalid(detected + "Value null at 'tableName' failed to satisfy constraint: Member must not be null")
	}
	if s.isDeclared(n) || validName.MatchString(n.Name) {
		return n, nil
	}
	return n, attribute.Invalid("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
}

func (s *Server) isDeclared(n tableName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.declared[n] != nil
}
