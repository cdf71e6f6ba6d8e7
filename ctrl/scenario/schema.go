package scenario

import (
	"encoding/json"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of the language as this version accepts it. Editors complete and check files with
// it. It knows the form of values, not whether a reference leads somewhere or an address lies in its subnet.
func Schema() []byte {
	s := &schemas{defs: map[string]any{}}
	root := s.object(language, false)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/vpclab/vpclab/scenario.schema.json"
	root["title"] = "vpclab scenario"
	root["$defs"] = s.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, lists and strings of our own: cannot happen
	}
	return append(out, '\n')
}

// schemas collects the definitions that the schema refers to.
type schemas struct{ defs map[string]any }

// define makes a definition of an object, once, and returns a reference to it. A patch has definitions of its own.
func (s *schemas) define(o object, patch bool) map[string]any {
	name := strings.ReplaceAll(o.name, " ", "-")
	if patch {
		name += "-patch"
	}
	if _, ok := s.defs[name]; !ok {
		s.defs[name] = true // stops a recursion; replaced below
		s.defs[name] = s.object(o, patch)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func (s *schemas) object(o object, patch bool) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range o.fields {
		if patch && f.fixed != "" {
			continue
		}
		property := s.value(f.is, patch)
		if f.about != "" {
			property["description"] = f.about
		}
		properties[f.key] = property
		if f.required && !patch && !(f.key == "from" && o.fromUnlessDo != "") {
			required = append(required, f.key)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if o.about != "" {
		out["description"] = o.about
	}
	if len(required) > 0 {
		out["required"] = required
	}
	if o.excludes[0] != "" && !patch {
		out["not"] = map[string]any{"required": o.excludes[:]}
	}
	if o.fromUnlessDo != "" {
		out["if"] = map[string]any{"properties": map[string]any{"do": map[string]any{"pattern": o.fromUnlessDo}}}
		out["else"] = map[string]any{"required": []string{"from"}}
	}
	return out
}

// value is a shape where a patch may also say null.
func (s *schemas) value(is shape, patch bool) map[string]any {
	if !patch {
		return is.schema(s, false)
	}
	return map[string]any{"anyOf": []any{is.schema(s, true), map[string]any{"type": "null"}}}
}

func (t text) schema(*schemas, bool) map[string]any {
	out := map[string]any{"type": "string"}
	if len(t.types) == 1 {
		out["type"] = t.types[0]
	}
	if len(t.types) > 1 {
		out["type"] = t.types
	}
	if t.pattern != "" {
		out["pattern"] = t.pattern
	}
	if t.words != nil {
		out["enum"] = t.wordValues()
	}
	if t.example != "" {
		out["examples"] = []string{t.example}
	}
	if t.want != "" {
		out["description"] = t.want
	}
	if len(t.types) == 1 && t.types[0] != typeString {
		delete(out, "pattern")
		if t.types[0] != typeBoolean {
			out["minimum"] = 0
		}
	}
	return out
}

func (t text) wordValues() []any {
	values := make([]any, len(t.words))
	for i, w := range t.words {
		values[i] = w
		if len(t.types) == 1 && t.types[0] == typeBoolean {
			values[i] = w == "true"
		}
	}
	return values
}

func (o object) schema(s *schemas, patch bool) map[string]any { return s.define(o, patch) }

func (d dict) schema(s *schemas, patch bool) map[string]any {
	return map[string]any{
		"type":                 "object",
		"propertyNames":        map[string]any{"pattern": d.key.pattern},
		"additionalProperties": s.value(d.of, patch),
	}
}

// A list inside a patch is replaced whole, so its elements are no patches.
func (a array) schema(s *schemas, _ bool) map[string]any {
	return map[string]any{"type": "array", "items": a.of.schema(s, false)}
}

func (e either) schema(s *schemas, patch bool) map[string]any {
	var of []any
	for _, one := range e {
		of = append(of, one.schema(s, patch))
	}
	return map[string]any{"anyOf": of}
}

func (v variants) schema(s *schemas, patch bool) map[string]any {
	var of []any
	for _, one := range v {
		of = append(of, one.is.schema(s, patch))
	}
	return map[string]any{"anyOf": of}
}
