package provider

import (
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"

	"carillon/channels"
	"carillon/models"
)

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "u1", `a"\`, "\x00\x1f\x7f", "é\u2028😀", "\xff\xc3", "<&>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		text := AppendString([]byte("x"), s)[1:]
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if err := json.Unmarshal(plain, &want); err != nil || got != want || !utf8.Valid(text) {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	})
}

// A campaign's message is encoded once, and only so many are kept.
func TestMessagesKept(t *testing.T) {
	m := NewMessages(func(b channels.Batch) ([]byte, error) { return []byte(b.CampaignID + " " + b.OperationID), nil })
	of := func(campaign, operation string) []byte {
		text, err := m.Of(channels.Batch{CampaignID: campaign, OperationID: operation, Message: &models.Message{}})
		if err != nil || string(text) != campaign+" "+operation {
			t.Fatalf("%s: %q, %v", campaign, text, err)
		}
		return text
	}
	first := of("c0", "op")
	for i := range 10 * keptMessages {
		if again := of("c0", "op"); i < keptMessages && &again[0] != &first[0] {
			t.Fatalf("encoded again after %d others", i)
		}
		of(fmt.Sprint("c", i+1), "op")
		if n := len(m.kept); n > keptMessages {
			t.Fatalf("%d messages kept", n)
		}
	}
	of("c0", "op-2")
	if _, err := m.Of(channels.Batch{CampaignID: "c0"}); err == nil {
		t.Error("encoded no message")
	}
}
