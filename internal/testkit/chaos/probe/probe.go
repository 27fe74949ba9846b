//go:build chaosprobe

// This file is laid over the product's command when the soak builds it (go build -overlay -tags chaosprobe): the
// shipped program has no such thing. It writes a line each second of what the process holds.
package main

import (
	"fmt"
	"os"
	"runtime/metrics"
	"strings"
	"time"
)

// The file's one effect: a process that is told where to write does so until it ends.
var _ = startProbe(os.Getenv("CHAOS_PROBE"))

// startProbe appends "unixMillis goroutines residentBytes heapBytes runtimeBytes" to the file at path.
func startProbe(path string) bool {
	if path == "" {
		return false
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	go func() {
		held := []metrics.Sample{
			{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"},
			{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		}
		for range time.Tick(time.Second) {
			metrics.Read(held)
			fmt.Fprintln(f, time.Now().UnixMilli(), held[0].Value.Uint64(), resident(), held[1].Value.Uint64(), held[2].Value.Uint64()-held[3].Value.Uint64())
		}
	}()
	return true
}

// resident is the process' resident size in bytes, as the kernel tells it.
func resident() uint64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var size, pages uint64
	if _, err := fmt.Fscan(strings.NewReader(string(raw)), &size, &pages); err != nil {
		panic(err)
	}
	return pages * uint64(os.Getpagesize())
}
