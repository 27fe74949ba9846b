package handlers

import (
	"bytes"
	stdjson "encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"carillon/handlers/web"
	"carillon/models"
)

// parseBatchSend reads and checks the body of POST /msg/batch_send_msg.
func parseBatchSend(body []byte) (models.CampaignSpec, error) {
	b, err := bindBatch(body)
	if err != nil {
		return models.CampaignSpec{}, err
	}
	return b.spec(false)
}

// contractExample is the request of the contract's page, to the letter.
const contractExample = `{
"sendID": "openIMAdmin",
"senderNickname": "Gordon",
"senderFaceURL": "http://www.head.com",
"senderPlatformID": 1,
"content": {
"text": "{\"content\":\"hello world!\"}"
},
"contentType": 101,
"sessionType": 1,
"isOnlineOnly": false,
"notOfflinePush": false,
"offlinePushInfo": {
"title": "send message",
"desc": "",
"ex": "",
"iOSPushSound": "default",
"iOSBadgeCount": true
},
"isSendAll": true
}`

func TestParsedSpecs(t *testing.T) {
	got, err := parseBatchSend([]byte(contractExample))
	want := models.CampaignSpec{
		Message: models.Message{
			SendID: "openIMAdmin", SenderNickname: "Gordon", SenderFaceURL: "http://www.head.com", SenderPlatformID: 1,
			Content: stdjson.RawMessage(`{"content":"hello world!"}`), ContentType: 101, SessionType: 1,
			OfflinePushInfo: &models.OfflinePushInfo{Title: "send message", IOSPushSound: "default", IOSBadgeCount: true},
		},
		Audience: models.Audience{Type: models.AudienceAll},
		Priority: models.PriorityBulk,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("contract's example: %+v, %v", got, err)
	}

	got, err = parseBatchSend([]byte(okBatch.but(jsonFields{
		"recvIDs": `["b","a","b","B","b b"]`, "sendTime": "7", "ex": `"e"`, "isOnlineOnly": "true", "notOfflinePush": "true", "offlinePushInfo": `{"title":""}`,
	}).body()))
	want = models.CampaignSpec{
		Message: models.Message{
			SendID: "imAdmin", Content: stdjson.RawMessage(`{"content":"hi"}`), ContentType: 101, SessionType: 1,
			IsOnlineOnly: true, NotOfflinePush: true, SendTime: 7, Ex: "e",
		},
		Audience: models.Audience{Type: models.AudienceUsers, UserIDs: []string{"B", "a", "b", "b b"}},
		Priority: models.PriorityTransactional,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("listed: %+v, %v", got, err)
	}

	got, err = parseCampaign([]byte(okCampaign(okMessage.but(jsonFields{"sessionType": ""}), jsonFields{
		"name": `"n"`, "channel": `"inbox"`, "audience": `{"groupID":"g"}`, "ratePerSecond": "5", "priority": `"bulk"`,
	}).body()))
	want = models.CampaignSpec{
		Name: "n", Channel: "inbox", RatePerSecond: 5,
		Message:  models.Message{SendID: "imAdmin", Content: stdjson.RawMessage(`{"content":"hi"}`), ContentType: 101, SessionType: 3},
		Audience: models.Audience{Type: models.AudienceGroup, GroupID: "g"},
		Priority: models.PriorityBulk, SessionLeft: true,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("campaign: %+v, %v", got, err)
	}
}

func TestDefaultPriority(t *testing.T) {
	for _, tt := range []struct {
		changes jsonFields
		want    models.Priority
	}{
		{jsonFields{"recvIDs": idList(100)}, models.PriorityTransactional},
		{jsonFields{"recvIDs": idList(101)}, models.PriorityBulk},
		{jsonFields{"recvIDs": strings.TrimSuffix(idList(100), "]") + "," + strings.TrimPrefix(idList(100), "[")}, models.PriorityTransactional}, // repeats do not count
		{jsonFields{"recvIDs": "", "isSendAll": "true"}, models.PriorityBulk},
		{jsonFields{"recvIDs": "", "groupID": `"g"`, "sessionType": "3"}, models.PriorityBulk},
	} {
		spec, err := parseBatchSend([]byte(okBatch.but(tt.changes).body()))
		if err != nil || spec.Priority != tt.want {
			t.Errorf("%.60v: %s, %v", tt.changes, spec.Priority, err)
		}
	}
}

// The slowest body that is accepted: 100,000 recipients. The budget is about 50 ms.
func BenchmarkParseBatchSend(b *testing.B) {
	ids := strings.Split(strings.Trim(idList(models.MaxListed), "[]"), ",")
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	body := []byte(okBatch.but(jsonFields{"recvIDs": "[" + strings.Join(ids, ",") + "]"}).body())
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := parseBatchSend(body); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzParseBatchSend(f *testing.F) {
	f.Add([]byte(contractExample))
	for _, tt := range messageCases {
		if len(tt.value) < 200 {
			f.Add([]byte(okBatch.but(jsonFields{tt.field: tt.value}).body()))
		}
	}
	f.Add([]byte(okMessage.but(jsonFields{"sessionType": "3", "groupID": `"g"`}).body()))
	f.Fuzz(func(t *testing.T, body []byte) { checkAccepted(t, parseBatchSend, body) })
}

func FuzzParseCampaign(f *testing.F) {
	for _, tt := range messageCases {
		if len(tt.value) < 200 {
			f.Add([]byte(okCampaign(okMessage.but(jsonFields{tt.field: tt.value}), jsonFields{}).body()))
		}
	}
	f.Add([]byte(okCampaign(okMessage.but(jsonFields{"sessionType": ""}), jsonFields{"audience": `{"groupID":"g"}`, "priority": `"transactional"`, "ratePerSecond": "9"}).body()))
	f.Add([]byte(okCampaign(okMessage, jsonFields{"audience": `{"all":true}`, "name": `"n"`, "channel": `"c"`, "sendAt": "1"}).body()))
	f.Fuzz(func(t *testing.T, body []byte) { checkAccepted(t, parseCampaign, body) })
}

// checkAccepted holds what a body was made into to what the store and the channels take for granted.
func checkAccepted(t *testing.T, parse func([]byte) (models.CampaignSpec, error), body []byte) {
	before := bytes.Clone(body)
	spec, err := parse(body)
	if !bytes.Equal(body, before) {
		t.Fatal("the body was written to")
	}
	if err != nil {
		if text, _ := refusal(t, err); text == "" || len(models.AsError(err).Fields) > models.MaxFindings || len(text) > 4000 {
			t.Fatalf("%q", text)
		}
		return
	}
	ids := append([]string{spec.Message.SendID}, spec.Audience.UserIDs...)
	if spec.Audience.Type == models.AudienceGroup {
		ids = append(ids, spec.Audience.GroupID)
	}
	for _, id := range ids {
		if why := models.CheckID(id); why != "" {
			t.Fatalf("%q %s", id, why)
		}
	}
	if n := len(spec.Audience.UserIDs); (n > 0) != (spec.Audience.Type == models.AudienceUsers) || len(slices.Compact(slices.Sorted(slices.Values(spec.Audience.UserIDs)))) != n {
		t.Fatalf("audience %+v", spec.Audience)
	}
	if spec.Priority != models.PriorityBulk && spec.Priority != models.PriorityTransactional {
		t.Fatalf("priority %q", spec.Priority)
	}
	encoded, err := stdjson.Marshal(spec.Message)
	var again models.Message
	if err != nil || stdjson.Unmarshal(encoded, &again) != nil {
		t.Fatalf("message does not re-encode: %v", err)
	}
	if finding := web.ScanJSON(encoded); finding != nil {
		t.Fatalf("message is not strict JSON: %v", finding)
	}
	normal, findings := models.CheckContent(spec.Message.ContentType, spec.Message.SessionType, spec.Message.Content)
	if len(findings) > 0 || !bytes.Equal(normal, spec.Message.Content) {
		t.Fatalf("content %q became %q, %v", spec.Message.Content, normal, findings)
	}
}

// parseCampaign reads a body of POST /v1/campaigns as the route does.
func parseCampaign(body []byte) (models.CampaignSpec, error) {
	var b CampaignBody
	if err := web.Decode(body, &b, campaignUnknown); err != nil {
		return models.CampaignSpec{}, err
	}
	return b.check("")
}
