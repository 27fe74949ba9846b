package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"carillon/channels"
	"carillon/channels/openim"
	"carillon/models"
)

// TestSameOpenIMRequests: the bare loop's send_msg has the same headers and, in any order, the same body as that of the
// channel, and its rows get the serverMsgIDs.
func TestSameOpenIMRequests(t *testing.T) {
	var got []*http.Request
	var bodies []map[string]any
	var sizes []int
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != openIMSend {
			_, _ = io.WriteString(w, `{"errCode":0,"data":{"token":"token","expireTimeSeconds":3600}}`)
			return
		}
		raw, _ := io.ReadAll(r.Body)
		var body map[string]any
		if err := json.Unmarshal(raw, &body); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		got, bodies, sizes = append(got, r), append(bodies, body), append(sizes, len(raw))
		fmt.Fprintf(w, `{"errCode":0,"errMsg":"","errDlt":"","data":{"serverMsgID":"s%d"}}`, len(got))
	}))
	defer srv.Close()
	newPoster, err := newOpenIMPosters(srv.URL, "token")
	if err != nil {
		t.Fatal(err)
	}
	loop := newPoster().(*openIMPoster)
	if err := loop.post(7, 8); err != nil {
		t.Fatal(err)
	}
	if ids := loop.serverMsgIDs(); len(ids) != 1 || ids[0] != "s1" || len(loop.serverMsgIDs()) != 0 {
		t.Errorf("serverMsgIDs %q", ids)
	}
	client, err := openim.NewClient(openim.Config{URL: srv.URL, Secret: "secret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	channel, err := openim.New(client)
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	m := message()
	out := channel.Send(t.Context(), channels.Batch{
		CampaignID: strings.Repeat("0", 26), OperationID: strings.Repeat("0", 26), Message: &m,
		Recipients: []channels.Recipient{{UserID: userID(7), ClientMsgID: models.ClientMsgID("x", 0, userID(7))}},
	})
	if out[0].Result != channels.Sent || len(got) != 2 {
		t.Fatalf("%+v, %d requests", out, len(got))
	}
	for _, r := range got {
		if id := r.Header.Get("OperationID"); len(id) != 26+1+32 {
			t.Errorf("operationID %q", id)
		}
		r.Header.Del("OperationID")
	}
	if !reflect.DeepEqual(got[0].Header, got[1].Header) || sizes[0] != sizes[1] || !reflect.DeepEqual(bodies[0], bodies[1]) {
		t.Errorf("the loop sends %v %v, the channel %v %v", got[0].Header, bodies[0], got[1].Header, bodies[1])
	}
}
