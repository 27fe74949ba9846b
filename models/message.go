package models

import "encoding/json"

// Message is what a campaign sends, as the contract names it. One copy stands in the campaign's row; a
// channel adds the recipient.
type Message struct {
	SendID           string           `json:"sendID"`
	SenderNickname   string           `json:"senderNickname"`
	SenderFaceURL    string           `json:"senderFaceURL"`
	SenderPlatformID int              `json:"senderPlatformID"`
	Content          json.RawMessage  `json:"content"` // a JSON object that CheckContent accepted
	ContentType      int              `json:"contentType"`
	SessionType      int              `json:"sessionType"`
	IsOnlineOnly     bool             `json:"isOnlineOnly"`
	NotOfflinePush   bool             `json:"notOfflinePush"`
	OfflinePushInfo  *OfflinePushInfo `json:"offlinePushInfo,omitempty"`
	SendTime         int64            `json:"sendTime,omitempty"` // unix ms, only a stamp; 0 = none given
	Ex               string           `json:"ex"`
}

// OfflinePushInfo is what a user who is offline is shown by the phone's push service.
type OfflinePushInfo struct {
	Title         string `json:"title"`
	Desc          string `json:"desc"`
	Ex            string `json:"ex"`
	IOSPushSound  string `json:"iOSPushSound"`
	IOSBadgeCount bool   `json:"iOSBadgeCount"`
}

// Session types of the contract.
const (
	SessionSingle       = 1 // one chat per recipient
	SessionGroup        = 2 // a group, written once per member
	SessionLargeGroup   = 3 // a group, stored once and read by its members
	SessionNotification = 4 // a notification conversation; carries ContentOANotification only
)

// MaxIDBytes bounds user, group and idempotency-scope IDs: they are VARBINARY(64) keys.
const MaxIDBytes = 64
