package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Toxic is one way a network fails. Stream is "upstream" (towards the server) or "downstream".
type Toxic struct {
	Type   string           `json:"type"` // latency, reset_peer, timeout, limit_data
	Stream string           `json:"stream"`
	Attrs  map[string]int64 `json:"attributes"` // ms and bytes, as toxiproxy names them
}

func (t Toxic) String() string {
	var attrs []string
	for _, name := range []string{"latency", "jitter", "timeout", "bytes"} {
		if v, ok := t.Attrs[name]; ok {
			attrs = append(attrs, fmt.Sprintf("%s=%d", name, v))
		}
	}
	return fmt.Sprintf("%s %s %s", t.Type, t.Stream, strings.Join(attrs, " "))
}

// Link is a network link that can be made to fail: a toxiproxy inside this process.
type Link struct{ proxy *toxiproxy.Proxy }

// OpenLink listens on a free loopback port for the server at upstream (host:port).
func OpenLink(name, upstream string) (*Link, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	return l, l.proxy.Start()
}

// Addr is the host:port to dial instead of the server's.
func (l *Link) Addr() string { return l.proxy.Listen }

// Spoil adds a toxic to all connections, those that stand and those to come.
func (l *Link) Spoil(t Toxic) error {
	raw, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = l.proxy.Toxics.AddToxicJson(strings.NewReader(string(raw)))
	return err
}

// Heal takes all toxics away.
func (l *Link) Heal() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l.proxy.Toxics.ResetToxics(ctx)
}

// Reopen makes a closed link listen again, where it did.
func (l *Link) Reopen() error { return l.proxy.Start() }

// Close ends the link and its connections.
func (l *Link) Close() { l.proxy.Stop() }
