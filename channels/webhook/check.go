package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/internal/tlsfault"
)

// batchGrants is how many grants of a rate make a second: a request carries no more recipients than one grant.
const batchGrants = 20

// Warnings says that the rate is too low for the batch.
func (c Config) Warnings() []channels.Finding {
	if c.URL == "" || c.Rate == 0 || c.Rate >= c.Batch*batchGrants || c.Batch == 1 {
		return nil
	}
	n := max(1, c.Rate/batchGrants)
	atMost := fmt.Sprintf("%d recipients", n)
	if n == 1 {
		atMost = "1 recipient"
	}
	return []channels.Finding{{Name: "webhook batch", State: channels.Warn, Detail: fmt.Sprintf(
		"CARILLON_WEBHOOK_RATE is %d/s, so a request carries at most %s and not the %d of CARILLON_WEBHOOK_BATCH: "+
			"a rate is granted in twentieths of a second; the batch is full from %d/s on", c.Rate, atMost, c.Batch, c.Batch*batchGrants)}}
}

// Check connects to the provider, and for https shakes hands. It sends no request: a provider may take any for a delivery.
func (c Config) Check(ctx context.Context, _ redis.UniversalClient) []channels.Finding {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return nil // there is none
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, c.withDefaults().Timeout)
	defer cancel()
	var conn net.Conn
	at := net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "https" {
		conn, err = new(tls.Dialer).DialContext(ctx, "tcp", at)
	} else {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", at)
	}
	if err != nil {
		hint := "start the provider, or mend CARILLON_WEBHOOK_URL; until then campaigns through it wait"
		if tlsfault.NoTLS(err) {
			hint = "it speaks no TLS: write http:// in CARILLON_WEBHOOK_URL, or set up TLS there"
		} else if tlsfault.BadCertificate(err) {
			hint = "give it a certificate that this machine trusts, or let this machine trust its issuer"
		}
		return []channels.Finding{{Name: Name, State: channels.Warn, Detail: fmt.Sprintf("%v: %s", err, hint)}}
	}
	_ = conn.Close()
	return []channels.Finding{{Name: Name, State: channels.OK, Detail: u.Host + " takes connections; no request was sent"}}
}
