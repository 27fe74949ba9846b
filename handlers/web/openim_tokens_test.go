package web

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"carillon/models"
)

// TestAnAnswerCountsForAMinute: not a moment longer, and no longer than the token itself.
func TestAnAnswerCountsForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var o openIMTokens
		parse := func(life time.Duration) ParseToken {
			return func(context.Context, string) (string, int, time.Time, error) {
				time.Sleep(2 * time.Second) // the token may be kicked while the answer is under way
				return "imAdmin", AdminPlatform, time.Now().Add(life), nil
			}
		}
		for i, c := range []struct{ life, counts time.Duration }{{time.Hour, 58 * time.Second}, {20 * time.Second, 20 * time.Second}} {
			hash := tokenHash{byte(i)}
			asked, got, err := o.ask(t.Context(), time.Now, parse(c.life), "token")
			if err != nil {
				t.Fatal(err)
			}
			o.keep(hash, &got, asked)
			time.Sleep(c.counts - time.Second)
			if _, ok, _ := o.said(hash, time.Now()); !ok {
				t.Errorf("life %s: asked again before %s", c.life, c.counts)
			}
			time.Sleep(time.Second)
			if _, ok, _ := o.said(hash, time.Now()); ok || !o.stood(hash) {
				t.Errorf("life %s: counts for more than %s", c.life, c.counts)
			}
		}
	})
}

// TestRememberedTokensAreFew: neither list grows without end.
func TestRememberedTokensAreFew(t *testing.T) {
	t.Parallel()
	var o openIMTokens
	for i := range 3*maxAsked + 1 {
		hash := tokenHash{byte(i), byte(i >> 8)}
		c := claims{RegisteredClaims: jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour))}}
		o.keep(hash, &c, time.Now())
		hash[2] = 1
		o.refuse(hash, models.Errorf(models.CodeTokenUnknown, "no"), time.Now())
	}
	if len(o.stand) > maxAsked || len(o.refused) > maxAsked {
		t.Errorf("%d and %d", len(o.stand), len(o.refused))
	}
}
