package main

import (
	"strings"
	"testing"

	"carillon/channels/openim"
	"carillon/channels/webhook"
	"carillon/internal/config"
)

// TestLedgerKnowsWhoStoresInTheInbox: what each ledger is told is what the channels' Traits say.
func TestLedgerKnowsWhoStoresInTheInbox(t *testing.T) {
	t.Parallel()
	ledger, err := openModels("sqlite:" + t.TempDir() + "/ledger.db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	cfg := config.Config{
		Webhook: webhook.Config{URL: "https://provider.example", Secret: "whsec_" + strings.Repeat("A", 32), Batch: 1},
		OpenIM:  openim.Config{URL: "http://openim.example:10002", Secret: "a secret for tests only"},
	}
	_, traits, _, err := openChannels(&cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(traits) != len(cfg.ChannelSettings()) {
		t.Errorf("%d of %d channels are set up: give the others' settings here", len(traits), len(cfg.ChannelSettings()))
	}
	for _, one := range traits {
		if ledger.StoresInInbox(one.Name) != one.StoresInInbox {
			t.Errorf("%s: its Traits say %v, the ledger is told %v: see openModels", one.Name, one.StoresInInbox, !one.StoresInInbox)
		}
	}
}
