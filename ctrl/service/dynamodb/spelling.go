package dynamodb

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
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
	if _, err := d.Token(); err != io.EOF {
		return nil, serialization(errors.New("there is something behind the request"))
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
func spelled(v any, named bool) error {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := spelled(e, named); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, inner := range v {
			if known := knownMember(name); named && known != "" && known != name {
				return attribute.Invalidf("unknown parameter %s: it is spelled %s", name, known)
			}
			if named && !nested[name] {
				continue
			}
			if err := spelled(inner, name != "RequestItems" || !named); err != nil {
				return err
			}
		}
	}
	return nil
}

// members are those that authorize reads.
var members = slices.Concat(fieldsOf(reflect.TypeFor[anyRequest]()), slices.Sorted(maps.Keys(nested)), []string{"Keys"})

func fieldsOf(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous {
			names = append(names, f.Name)
		}
	}
	return names
}

// knownMember is a member whatever the letters of its name; empty: none.
func knownMember(name string) string {
	i := slices.IndexFunc(members, func(m string) bool { return strings.EqualFold(m, name) })
	if i < 0 {
		return ""
	}
	return members[i]
}
