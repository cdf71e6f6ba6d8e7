package flow

import "errors"

// ErrFull says that the flow cache has no room for another entry. The packets of a flow without an entry still arrive, one upcall each.
var ErrFull = errors.New("flow cache full")
