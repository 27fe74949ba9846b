package provider

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/channels"
)

// Every place is held by a request that hangs: the others do not wait for its time-out.
func TestLimiterPassesTheHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		if rate, _ := simRun(l, &simProvider{time: time.Millisecond, workers: simWorkers(4)}, 100, 2*time.Second); rate == 0 {
			t.Fatal("nothing went through before")
		}
		l.mu.Lock()
		n := 2 * l.limit
		l.mu.Unlock()
		for range n { // half of them wait for the limit to grow
			go func() {
				p := l.acquire(t.Context(), make(chan struct{}, 1))
				time.Sleep(5 * time.Second)
				l.release(p, false, 5*time.Second, time.Time{}, false)
			}()
		}
		synctest.Wait()
		begun := time.Now()
		p := l.acquire(t.Context(), make(chan struct{}, 1))
		if p == nil || time.Since(begun) > 200*time.Millisecond {
			t.Fatalf("waited %s", time.Since(begun))
		}
		l.giveBack(p)
		time.Sleep(6 * time.Second)
	})
}

// Places come in the order of asking; whoever gives up leaves none behind.
func TestLimiterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		var held []*place
		for range minInFlight {
			held = append(held, l.acquire(t.Context(), make(chan struct{}, 1)))
		}
		var got []int
		var mu sync.Mutex
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 5 {
			waits := t.Context()
			if i == 2 {
				waits = ctx
			}
			go func() {
				if p := l.acquire(waits, make(chan struct{}, 1)); p != nil {
					mu.Lock()
					got, held = append(got, i), append(held, p)
					mu.Unlock()
				}
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		for range 4 {
			mu.Lock()
			first := held[0]
			held = held[1:]
			mu.Unlock()
			l.giveBack(first)
			synctest.Wait()
		}
		if !slices.Equal(got, []int{0, 1, 3, 4}) {
			t.Errorf("places went to %v", got)
		}
		for _, p := range held {
			l.giveBack(p)
		}
		if l.acquire(ctx, nil) != nil || l.inFlight != 0 || len(l.waiters) != 0 {
			t.Errorf("%d in flight, %d waiting in the end", l.inFlight, len(l.waiters))
		}
		time.Sleep(time.Second)
	})
}

// However the work is shared out, each piece is done once, and as often again as it asks for.
func TestLimiterEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				done := make([]int, 250)
				l.forEach(t.Context(), len(done), func(i int, placed bool) (tried, good, again bool, took time.Duration) {
					time.Sleep(time.Millisecond)
					done[i]++
					return placed, true, done[i] <= i%3, time.Millisecond
				})
				for i, n := range done {
					if n != 1+i%3 { // every third asks for one more request, every third for two
						t.Errorf("%d was done %d times", i, n)
					}
				}
			})
		}
		wg.Wait()
		if l.inFlight != 0 || len(l.waiters) != 0 {
			t.Errorf("%d in flight, %d waiting in the end", l.inFlight, len(l.waiters))
		}
		time.Sleep(time.Second)
	})
}

// No place comes free: a Send gives up before its page looks stuck, and what it did not begin is not tried.
func TestNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := channelAt(t, "http://provider.test/")
		w.client.limiter.limit, w.client.limiter.inFlight = maxInFlight, maxInFlight
		begun := time.Now()
		for _, o := range w.Send(t.Context(), batchOf(250)) {
			if o != (channels.Outcome{Result: channels.NotTried}) {
				t.Fatalf("outcome %+v", o)
			}
		}
		if d := time.Since(begun); d != maxSend {
			t.Errorf("gave up after %s", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, o := range w.Send(ctx, batchOf(250)) {
			if o.Result != channels.Retry || o.ErrMsg != "stopped before the request was sent" {
				t.Fatalf("outcome %+v", o)
			}
		}
		time.Sleep(time.Hour) // the limiter's timer ends
	})
}

// Requests that are out for far longer than usual give their places to those who wait, up to a bound, and tell nothing of
// how many are too many.
func TestLateRequestsTakeNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		send := func(n int, slow func(i int) bool) (took time.Duration) {
			begun := time.Now()
			l.forEach(t.Context(), n, func(i int, placed bool) (tried, good, again bool, took time.Duration) {
				took = 5 * time.Millisecond
				if slow(i) {
					took = 5 * time.Second
				}
				time.Sleep(took)
				return true, took < time.Second, false, took
			})
			return time.Since(begun)
		}
		send(2000, func(int) bool { return false })
		limit := l.limit
		// One in fifty: more than there are places.
		if took := send(2000, func(i int) bool { return i%50 == 0 }); took > 8*time.Second {
			t.Errorf("2,000 requests, 40 of them for 5 s, took %s with %d places", took, limit)
		}
		if l.inFlight != 0 || l.late != 0 || len(l.places) != 0 || len(l.waiters) != 0 {
			t.Errorf("%d in flight, %d late, %d places taken in the end", l.inFlight, l.late, len(l.places))
		}
		// All of them: the bound holds.
		most := make(chan int, 1)
		go func() {
			n := 0
			for range 40 {
				time.Sleep(250 * time.Millisecond)
				l.mu.Lock()
				n = max(n, l.late)
				l.mu.Unlock()
			}
			most <- n
		}()
		send(300, func(int) bool { return true })
		if n := <-most; n > maxLate {
			t.Errorf("%d late ones at once", n)
		}
		time.Sleep(time.Minute)
	})
}

// A provider that answers nobody before 100 are waiting: only connections that grow by themselves get there.
func TestGrowsWithASlowProvider(t *testing.T) {
	var waiting, most atomic.Int32
	var once sync.Once
	enough := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := waiting.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 100 {
			once.Do(func() { close(enough) })
		}
		<-enough
		waiting.Add(-1)
	}))
	defer srv.Close()
	for i, o := range channelAt(t, srv.URL).Send(t.Context(), batchOf(300)) {
		if o.Result != channels.Sent {
			t.Fatalf("outcome %d: %+v", i, o)
		}
	}
	if m := most.Load(); m > maxInFlight {
		t.Errorf("%d requests at once, at most %d are meant", m, maxInFlight)
	}
}
