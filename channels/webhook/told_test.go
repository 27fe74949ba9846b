package webhook

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"carillon/channels"
)

// The caller hears of each request as it ends, so that it can stop the rest of a chunk.
func TestTellsOfEachRequest(t *testing.T) {
	t.Parallel()
	w := channelAt(t, answering(t, http.StatusBadGateway, nil, "").URL)
	b := batchOf(40)
	var mu sync.Mutex
	heard := map[int]bool{}
	b.MayStart = func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(heard) == 0
	}
	b.Answered = func(from int, of []channels.Outcome, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if of[0].Result == channels.NotTried {
			return
		}
		if len(of) != 1 || of[0].Fault != channels.Away || took <= 0 {
			t.Errorf("request %d: %+v in %s", from, of, took)
		}
		heard[from] = true
	}
	out := w.Send(t.Context(), b)
	tried := 0
	for i, o := range out {
		if (o.Result != channels.NotTried) != heard[i] {
			t.Errorf("recipient %d: %+v, heard %v", i, o, heard[i])
		}
		if o.Result != channels.NotTried {
			tried++
		}
	}
	if tried == 0 || tried == len(out) {
		t.Errorf("%d of %d were tried after the first was told of", tried, len(out))
	}
}
