package config_test

import (
	"fmt"
	"testing"

	"carillon/internal/config"
)

func TestNamesThatAreNoSettings(t *testing.T) {
	t.Parallel()
	unknown, meant := config.UnknownNames([]string{
		"PATH=/bin", "CARILLON_LISTEN=x", "CARILLON_CONFIG=x", "CARILLON_SECRET_FILE=x", "CARILLON_PORT=1", "MY_CARILLON_X=1",
		"CARILLON_LISTENS=topsecret", "CARILLON_WEBHOOKURL=x", "CARILLON_DB=x", "carillon_listen=x", "CARILLON_=", "CARILLON_DATABASE_URL_FIL",
	})
	want := "[CARILLON_LISTENS CARILLON_WEBHOOKURL CARILLON_DB carillon_listen CARILLON_ CARILLON_DATABASE_URL_FIL] " +
		"[CARILLON_LISTEN CARILLON_WEBHOOK_URL  CARILLON_LISTEN  CARILLON_DATABASE_URL_FILE]"
	if got := fmt.Sprint(unknown, " ", meant); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
