package scenario

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("scenario.schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("scenario.schema.json")
})

// schemaError validates a file as an editor would: by the values that YAML 1.2's core schema gives it.
func schemaError(t testing.TB, src []byte) error {
	t.Helper()
	schema, err := compiledSchema()
	if err != nil {
		t.Fatalf("compile schema: %v", err)
	}
	r := &reporter{}
	root := r.readYAML(src)
	if root == nil {
		t.Fatalf("not YAML: %v", r.err())
	}
	return schema.Validate(jsonValue(root))
}

// jsonValue is what a JSON reader would see.
func jsonValue(n *node) any {
	switch n.kind {
	case mapping:
		out := map[string]any{}
		for _, e := range n.entries {
			out[e.key] = jsonValue(e.value)
		}
		return out
	case list:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = jsonValue(item)
		}
		return out
	}
	switch n.typ {
	case typeNull:
		return nil
	case typeBoolean:
		return strings.EqualFold(n.text, "true")
	case typeInteger, typeNumber:
		if v, err := strconv.ParseFloat(n.text, 64); err == nil {
			return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
		}
	}
	return n.text
}

func TestSchemaAcceptsValidFiles(t *testing.T) {
	for _, file := range files(t, "valid") {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemaError(t, src); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// beyondSchema are the wrong files whose mistakes no schema sees: what depends on other values, or is no YAML at all.
var beyondSchema = []string{
	"aws-rules.yaml", "change-exclusive.yaml", "change-gone.yaml", "change-removal.yaml", "change-value.yaml",
	"endpoint-change-references.yaml", "endpoint-change.yaml", "endpoint-services.yaml", "families.yaml", "flow-log-change.yaml", "flow-log-rules.yaml", "gateway-change.yaml", "gateway-rules.yaml", "hosts.yaml", "peering-answers.yaml", "peering-both.yaml",
	"peering-expired.yaml", "peering-failing.yaml", "peering-fixed.yaml", "peering-grown.yaml", "peering-overlap.yaml",
	"peering-references.yaml", "peering-removed.yaml", "policies.yaml", "policy-change-reference.yaml", "policy-change.yaml", "records.yaml", "references.yaml", "zone-rules.yaml", "zones-missing.yaml",
}

// notYAML are the wrong files that never become values, or lose some on the way.
var notYAML = []string{"anchors.yaml", "depth.yaml", "duplicate-keys.yaml", "empty.yaml", "not-yaml.yaml", "policy-braces.yaml", "policy-star.yaml", "tab.yaml", "two-documents.yaml"}

func TestSchemaRefusesWrongFiles(t *testing.T) {
	for _, file := range files(t, "wrong") {
		base := filepath.Base(file)
		if slices.Contains(notYAML, base) {
			continue
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		err = schemaError(t, src)
		if beyond := slices.Contains(beyondSchema, base); (err == nil) != beyond {
			t.Errorf("%s: the schema says %v, but it is listed as beyond the schema: %v", base, err, beyond)
		}
	}
}

// TestSchemaOfEveryMistake gives the schema one mistake at a time, so that none hides behind another.
func TestSchemaOfEveryMistake(t *testing.T) {
	for _, text := range []string{
		"vpcs: {}",
		"name: Shop\nvpcs: {}",
		"name: shop\nvpcs: {}\nname2: x",
		"name: shop\nvpcs: {}\npeerings: {p: {requester: a}}",
		"name: shop\nvpcs: {}\npeerings: {p: {requester: a, accepter: b, link: {loss: 0.1}}}",
		"name: shop\nvpcs: {}\npeerings: {p: {requester: a, accepter: b, link: {rate: 100}}}",
		"name: shop\nvpcs: {}\npeerings: {p: {requester: a, accepter: b, link: {delay: 60}}}",
		"name: shop\nvpcs: {}\npeerings: {p: {requester: a, accepter: b, expect_state: deleted}}",
		"name: shop\nvpcs: {}\npeerings: {p: {requester: a, accepter: b, encryption: ipsec}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: vpc.a, traffic: all}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: vpc.a, traffic: ALL, destination: file:x}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: a/eni.b.eth, traffic: all, destination: file:x}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: vpc.a, traffic: all, destination: s3:/logs}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: vpc.a, traffic: all, destination: file:x, interval: 60}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: vpc.a, traffic: all, destination: file:x, format: srcaddr}}",
		"name: shop\nvpcs: {}\nflow_logs: {l: {resource: vpc.a, traffic: all, destination: s3://abc, file_format: csv}}",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, logs: [{srcport: 1}]}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, logs: [{log: l, srcport: x}]}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, no_logs: [{log: l, action: accept}]}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, no_logs: [{log: l, src-addr: b}]}]",
		"name: shop\nvpcs: {a: {}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0}}",
		"name: shop\nvpcs: {a: {cidr: [10.0.0.0/16], internet_gateway: yes}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, egress_only_gateway: yes}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, security_groups: {w: {ingress: [tcp 80 to 10.0.0.0/8]}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, acls: {w: {ingress: [tcp 80 from 10.0.0.0/8]}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, subnets: {w: {cidr: 10.0.0.0/24, routes: {}, route_table: main}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, route_tables: {w: {routes: {10.0.0.0/8: peering.Out}}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, instances: {w: {subnet: s, serve: [ftp 21]}}}}",
		"name: shop\nvpcs: {}\nclock: {rate: -1}",
		"name: shop\nvpcs: {}\nchecks: [{do: ping web}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: dns}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: s3 copy logs/a logs/b}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: dynamodb delete orders 1}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: http ftp://b/}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, expect: forbidden}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: dns b, expect: {answers: 10.0.0.4}}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, at: endpoint.s3/sg}]",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, endpoints: {s3: {type: gateway}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, endpoints: {s3: {type: resource, service: s3}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, endpoints: {s3: {type: gateway, service: s4}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, endpoints: {s3: {type: gateway, service: s3, policy: \"*\"}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, endpoint_services: {w: {targets: []}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, endpoint_services: {w: {targets: [], ports: [80], accepted: [b.w]}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, instances: {w: {subnet: s, metadata: {tokens: always}}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, instances: {w: {subnet: s, role: {name: a b}}}}}",
		"name: shop\nvpcs: {}\nservices: {s3: {buckets: {Logs: {}}}}",
		"name: shop\nvpcs: {}\nservices: {s3: {backend: localhost}}",
		"name: shop\nvpcs: {}\nservices: {dynamodb: {tables: {orders: {}}}}",
		"name: shop\nvpcs: {}\nservices: {dynamodb: {tables: {orders: {key: id X}}}}",
		"name: shop\nvpcs: {}\nprivate_zones: {corp.internal: {}}",
		"name: shop\nvpcs: {}\nprivate_zones: {Corp: {vpcs: []}}",
		"name: shop\nvpcs: {}\nprivate_zones: {corp: {vpcs: [], records: {db: {SPF: x}}}}",
		"name: shop\nvpcs: {}\nprivate_zones: {corp: {vpcs: [], records: {db: db.corp}}}",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, because: LINK_QUEUE_FUL}]",
		"name: shop\nvpcs: {}\nchecks: [{from: a, do: ping b, at: nat.out/sg-in}]",
		"name: shop\nvpcs: {}\ntracking: {udp: 60}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, nat_gateways: {out: {eip: auto}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, nat_gateways: {out: {subnet: s, type: elastic}}}}",
		"name: shop\nvpcs: {a: {cidr: 10.0.0.0/16, internet_gateway: {routes: {10.0.0.0/16: elsewhere}}}}",
		"name: shop\nvpcs: {}\nchecks: [{az_down: a}]",
		"name: shop\nvpcs: {}\nchecks: [{change: {name: x}}]",
		"name: shop\nvpcs: {}\nchecks: [{change: {vpcs: {a: {sg: null}}}}]",
		"name: shop\nvpcs: {}\nchecks: [{advance: soon}]",
	} {
		if err := schemaError(t, []byte(text)); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
		if _, err := Parse("x.yaml", []byte(text)); err == nil {
			t.Errorf("the parser accepts\n%s", text)
		}
	}
}

// TestSchemaHelpsEditors looks for what an editor shows: every key has a description.
func TestSchemaHelpsEditors(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	objects := map[string]any{"scenario": doc}
	for name, def := range doc["$defs"].(map[string]any) {
		objects[name] = def
	}
	for name, def := range objects {
		for key, property := range def.(map[string]any)["properties"].(map[string]any) {
			if property.(map[string]any)["description"] == nil {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
	if len(objects) < 15 {
		t.Errorf("only %d objects: %v", len(objects), objects)
	}
}
