package pacing

import (
	"strconv"

	"carillon/models"
)

// All keys of pacing in Redis are built here. The keys of one channel share the hash tag {channel},
// because a script may only touch keys of one slot in a cluster.

func channelPrefix(channel string) string { return "carillon:{" + channel + "}:" }

// healthKey is a hash: what all processes together know of the channel's provider. health.lua lists
// its fields.
func healthKey(channel string) string { return channelPrefix(channel) + "pressure" }

// channelBucketKey is a hash: the channel's token bucket and the turn last granted.
func channelBucketKey(channel string) string { return channelPrefix(channel) + "rate" }

// campaignBucketKey is a hash: the campaign's token bucket, its turn, and when its next page is to
// ask.
func campaignBucketKey(c *models.Campaign) string {
	return channelPrefix(c.Channel) + "rate:" + strconv.FormatInt(c.ID, 10)
}

// limitedByKey is a string: what held the campaign back within the last seconds, a
// models.LimitedBy.
func limitedByKey(c *models.Campaign) string {
	return channelPrefix(c.Channel) + "limited:" + strconv.FormatInt(c.ID, 10)
}

// waitingKey is a sorted set: the campaigns that wait for the channel's rate, by their turns.
func waitingKey(channel string) string { return channelPrefix(channel) + "waiting" }

// waitingUntilKey is a hash: until when each of them waits, in unix ms.
func waitingUntilKey(channel string) string { return channelPrefix(channel) + "until" }

// writableKey is written to see whether Redis can be written.
const writableKey = "carillon:try"
