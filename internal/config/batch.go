package config

import "fmt"

// batchGrants is how many grants of a rate are made per second. A request carries no more
// recipients than one grant.
const batchGrants = 20

// BatchWarning says in words that the webhook's rate is too low for its batch; "" when it is not.
func (c *Config) BatchWarning() string {
	if c.WebhookURL == "" || c.WebhookRate == 0 || c.WebhookRate >= c.WebhookBatch*batchGrants || c.WebhookBatch == 1 {
		return ""
	}
	return fmt.Sprintf("CARILLON_WEBHOOK_RATE is %d/s, so a request carries at most %s and not the %d of CARILLON_WEBHOOK_BATCH: "+
		"a rate is granted in twentieths of a second; the batch is full from %d/s on",
		c.WebhookRate, recipients(max(1, c.WebhookRate/batchGrants)), c.WebhookBatch, c.WebhookBatch*batchGrants)
}

func recipients(n int) string {
	if n == 1 {
		return "1 recipient"
	}
	return fmt.Sprintf("%d recipients", n)
}
