package dynamodb

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/vpclab/vpclab/ctrl/service/dynamodb/attribute"
)

// canonical is a request that everybody reads alike: each member once, and none that is a known one in other letters. Go's decoder takes
// {"tablename": …} for {"TableName": …} and other services do not, so that a policy could be asked about one table and another be read.
func canonical(body []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var request map[string]any
	if err := d.Decode(&request); err != nil {
		return nil, serialization(err)
	}
	if err := spelled(request, true); err != nil {
		return nil, err
	}
	return json.Marshal(request)
}

// nested are the members in which further ones lie that policies are about.
var nested = map[string]bool{"TransactItems": true, "RequestItems": true, "Put": true, "Update": true, "Delete": true, "ConditionCheck": true,
	"Get": true, "PutRequest": true, "DeleteRequest": true}

// spelled refuses members in other letters. The keys of RequestItems are tables' names, not members.
func spelled(v any, members bool) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := spelled(e, members); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, inner := range v {
			if known := knownMember(name); members && known != "" && known != name {
				return attribute.Invalidf("unknown parameter %s: it is spelled %s", name, known)
			}
			if members && !nested[name] {
				continue
			}
			if err := spelled(inner, name != "RequestItems" || !members); err != nil {
				return err
			}
		}
	}
	return nil
}

// knownMember is a member that authorize reads, whatever the letters of a name; empty: none.
func knownMember(name string) string {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[anyRequest]()) {
		if strings.EqualFold(f.Name, name) && !f.Anonymous {
			return f.Name
		}
	}
	for known := range nested {
		if strings.EqualFold(known, name) {
			return known
		}
	}
	if strings.EqualFold(name, "Keys") {
		return "Keys"
	}
	return ""
}
