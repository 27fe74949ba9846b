package openim

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// sender makes send_msg calls over kept-alive connections.
type sender struct {
	client fasthttp.Client
	url    string
	token  string
}

func newSender(k *kit) *sender {
	return &sender{client: fasthttp.Client{MaxConnsPerHost: 10_000, Dial: dial}, url: k.url + routeSend, token: k.token}
}

func dial(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, patience) }

func (s *sender) send(op string, body []byte) error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(s.url)
	req.Header.SetMethod(http.MethodPost)
	req.Header.Set("operationID", op)
	req.Header.Set("token", s.token)
	req.SetBodyRaw(body)
	if err := s.client.Do(req, resp); err != nil {
		return err
	}
	if want := `{"errCode":0,`; resp.StatusCode() != http.StatusOK || string(resp.Body()[:len(want)]) != want {
		return fmt.Errorf("HTTP %d %s", resp.StatusCode(), resp.Body())
	}
	return nil
}

// TestThousandsInFlight: slow answers do not wait for each other.
func TestThousandsInFlight(t *testing.T) {
	t.Parallel()
	const flights = 2000
	k := start(t)
	s := newSender(k)
	if err := k.d.Behave(Manners{Latency: Duration(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	text := []byte(body(nil))
	var all sync.WaitGroup
	for i := range flights {
		all.Go(func() { _ = s.send(fmt.Sprint("op", i), text) }) // the double's end cuts it off
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		seen, err := Client{k.url}.Seen(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if seen.Delivered == flights {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d are in flight", seen.Delivered, flights)
		}
	}
	if err := k.d.Close(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
}

// BenchmarkSend says what one send_msg costs the double: its processor time, and requests/s with 64 in flight. The
// double has one core; 15,000 requests/s are 66 µs.
func BenchmarkSend(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	b.Setenv("GOMAXPROCS", "1")
	p, err := StartProcess(Options{Log: filepath.Join(b.TempDir(), "log"), Secret: secret, Users: 1000}, self, doubleA)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Kill() }()
	k := &kit{t: b, url: p.URL}
	k.token = k.admin()
	s := newSender(k)
	text := []byte(body(nil))
	var serial atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		all.Go(func() {
			for n := serial.Add(1); n <= int64(b.N); n = serial.Add(1) {
				if err := s.send(fmt.Sprint("op", n), text); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	if err := p.Kill(); err != nil {
		b.Fatal(err)
	}
	state := p.cmd.ProcessState
	b.ReportMetric(float64(state.UserTime()+state.SystemTime())/float64(time.Microsecond)/float64(b.N), "µs-processor/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
