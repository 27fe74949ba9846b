package metrics_test

import (
	"testing"
	"time"

	"carillon/internal/metrics"
	"carillon/models"
)

// What one chunk pays for its metrics, whatever its size.
func BenchmarkChunk(b *testing.B) {
	m := metrics.New("test")
	observer := m.Observer()
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		observer.Settled("webhook", models.Counts{Sent: 249, Failed: 1})
		m.ChunkWritten.Observe(time.Since(began).Seconds())
	}
}

// What one request to the provider pays, with one recipient a request: what one recipient pays.
func BenchmarkRequest(b *testing.B) {
	c := metrics.New("test").Channel("webhook")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Sending.Observe(0.0004)
		}
	})
}
