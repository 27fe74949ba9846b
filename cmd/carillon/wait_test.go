package main

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/contract"
)

// waited posts a message with Prefer: wait and returns the answer's data.
func waited(t *testing.T, base, token, prefer, body string) (data struct {
	CampaignID, Status string
	Total              int
	Results            []map[string]any
	FailedUserIDs      []string
}) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/msg/batch_send_msg", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("token", token)
	req.Header.Set("operationID", "wait")
	req.Header.Set("Prefer", prefer)
	res, err := contract.Transport(t, &http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || json.Unmarshal(raw, &struct{ Data any }{&data}) != nil || res.Header.Get("Preference-Applied") == "" {
		t.Fatalf("%v %s", err, raw)
	}
	return data
}

// A caller who waits gets what the original's callers get: a result for each who was sent, and the IDs of the failed.
func TestWaitAnswersWithResults(t *testing.T) {
	t.Parallel()
	testkit.EachStore(t, func(t *testing.T, s testkit.Stores) {
		flags := []string{"--data-dir", filepath.Join(t.TempDir(), "data"), "--secret", testSecret}
		if s.Name != "embedded" {
			flags = external(migrated(t, s.DatabaseURL), s.RedisURL)
		}
		p := serve(t, flags...)
		base, token := p.ready(), adminToken(t)
		call(t, http.MethodPost, base+"/v1/users", token, `{"users":[{"userID":"alice"},{"userID":"bob"}]}`)
		body := strings.Replace(message, `"isSendAll":true`, `"recvIDs":["alice","nobody","bob","alice"]`, 1)
		got := waited(t, base, token, "wait=30", body)
		if got.Status != "completed" || got.Total != 3 || len(got.Results) != 2 || len(got.FailedUserIDs) != 1 || got.FailedUserIDs[0] != "nobody" {
			t.Fatalf("%+v", got)
		}
		for _, r := range got.Results {
			if r["recvID"] == "" || r["clientMsgID"] == "" || r["serverMsgID"] == "" || r["sendTime"].(float64) < 1e12 {
				t.Errorf("%+v", r)
			}
		}
		if got := waited(t, base, token, "respond-async, wait=30", message); got.Status != "completed" || got.FailedUserIDs != nil || len(got.Results) != 2 {
			t.Errorf("%+v", got)
		}
		// a campaign that will take long does not hold the process up
		slow := strings.Replace(`{"message":`+message+`,"audience":{"all":true},"ratePerSecond":1}`, `,"isSendAll":true`, "", 1)
		call(t, http.MethodPost, base+"/v1/campaigns", token, slow)
		began := time.Now()
		p.stop()
		if p.wait(); time.Since(began) > 10*time.Second {
			t.Errorf("it took %s to stop", time.Since(began))
		}
	})
}
