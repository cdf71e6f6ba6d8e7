package dynamodb

import (
	"crypto/sha256"
	"encoding/json"
	"sync"
	"time"
)

// tokenLife is for how long a transaction that is asked for again is not made again (API reference, TransactWriteItems).
const tokenLife = 10 * time.Minute

const (
	// maxToken is how many characters a token has at most.
	maxToken = 36
	// maxTokens is how many transactions are remembered; one more, and the oldest is forgotten before its time.
	maxTokens = 1 << 16
)

// token is a client's name for a transaction.
type token struct{ account, region, text string }

// tokens remember transactions that were made, in lab time and for as long as the process lives. The zero value remembers none.
type tokens struct {
	mu    sync.Mutex
	made  map[token]transaction
	order []token // of made, the oldest first
}

type transaction struct {
	at      time.Time
	request [sha256.Size]byte
	answer  any
}

// once makes a transaction unless its token's was made already. The lock is held meanwhile, as transactions come one at a time anyway.
func (t *tokens) once(now time.Time, k token, request any, do func() (any, error)) (any, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	if earlier, ok := t.made[k]; ok {
		if earlier.request != digest {
			return nil, failed("IdempotentParameterMismatchException", "The request uses the same client token as a previous, but non-identical request")
		}
		return earlier.answer, nil
	}
	answer, err := do()
	if err == nil {
		t.made[k] = transaction{now, digest, answer}
		t.order = append(t.order, k)
	}
	return answer, err
}

// forget drops what is too old, or too much.
func (t *tokens) forget(now time.Time) {
	if t.made == nil {
		t.made = map[token]transaction{}
	}
	for len(t.order) > 0 && (len(t.order) >= maxTokens || now.Sub(t.made[t.order[0]].at) >= tokenLife) {
		delete(t.made, t.order[0])
		t.order = t.order[1:]
	}
}
