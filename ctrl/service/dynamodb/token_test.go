package dynamodb

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// Tokens are short, and however many there are, so many are remembered: the latest.
func TestTokensAreBounded(t *testing.T) {
	b := newBed(t)
	b.declare(hashTable("users"))
	with := func(length int) string {
		return `{"ClientRequestToken":"` + strings.Repeat("x", length) + `","TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"S":"a"}}}}]}`
	}
	b.must("TransactWriteItems", with(36))
	b.fails("TransactWriteItems", with(37), "ValidationException", "1 validation error detected: Value at 'clientRequestToken'")

	var all tokens
	made := 0
	ask := func(n int) {
		t.Helper()
		if _, err := all.once(time.Time{}, token{text: strconv.Itoa(n)}, n, func() (any, error) { made++; return nil, nil }); err != nil {
			t.Fatal(err)
		}
	}
	const beyond = 10
	for n := range maxTokens + beyond {
		ask(n)
	}
	if len(all.made) != maxTokens || len(all.order) != maxTokens {
		t.Errorf("%d are remembered, and the order of %d", len(all.made), len(all.order))
	}
	made = 0
	ask(maxTokens + beyond - 1)
	ask(2 * beyond)
	if made != 0 {
		t.Error("one that should be remembered is made again")
	}
	ask(0)
	if made != 1 {
		t.Error("the oldest is remembered")
	}
}
