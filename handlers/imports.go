package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"carillon/handlers/web"
)

const (
	// importsKey is a hash in Redis. Each process writes there how far its imports are, so that every process can show it.
	importsKey = "carillon:imports"
	// importTold is between two such writes.
	importTold = time.Second
	// importLost is after how long without a write an import counts as dead with its process.
	importLost = 30 * time.Second
	// importTell is how long one write may take. Nobody waits for it but the next one.
	importTell = 2 * time.Second
)

// ImportNow is an import that is under way.
type ImportNow struct {
	By      string    `json:"by"`
	Name    string    `json:"name"` // of the file; empty = not known
	Began   time.Time `json:"began"`
	At      time.Time `json:"at"`      // when this was so
	Taken   int64     `json:"taken"`   // rows
	Refused int64     `json:"refused"` // rows
	Read    int64     `json:"read"`    // bytes
	Size    int64     `json:"size"`    // bytes of the file, or some more; 0 = not known
}

// Percent is how much of the file has been read; 0 = not known.
func (i ImportNow) Percent() int64 {
	if i.Size <= 0 {
		return 0
	}
	return min(100, i.Read*100/i.Size)
}

// ImportsNow lists the imports that are under way in all processes, the oldest first.
func (a *API) ImportsNow(ctx context.Context) ([]ImportNow, error) {
	told, err := a.Redis.HGetAll(ctx, importsKey).Result()
	if err != nil {
		return nil, err
	}
	var list []ImportNow
	for id, text := range told {
		var one ImportNow
		if json.Unmarshal([]byte(text), &one) != nil || time.Since(one.At) > importLost {
			a.Redis.HDel(ctx, importsKey, id)
			continue
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b ImportNow) int { return cmp.Or(a.Began.Compare(b.Began), cmp.Compare(a.By, b.By)) })
	return list, nil
}

// importing is an import under way in this process.
type importing struct {
	body                 io.Reader
	read, taken, refused atomic.Int64
}

func (i *importing) Read(p []byte) (n int, err error) {
	n, err = i.body.Read(p)
	i.read.Add(int64(n))
	return n, err
}

// tellImport writes how far an import is, until stop is called. While Redis is away nobody sees that, and the import goes on.
func (a *API) tellImport(ctx context.Context, call web.Call, f ImportFile, i *importing) (stop func()) {
	id, ended, gone := rand.Text(), make(chan struct{}), make(chan struct{})
	now := ImportNow{By: call.UserID, Name: f.Name, Began: time.Now(), Size: f.Size}
	try := func(do func(context.Context)) {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), importTell)
		defer cancel()
		do(within)
	}
	go func() {
		defer close(gone)
		tick := time.NewTicker(importTold)
		defer tick.Stop()
		for {
			now.At, now.Read, now.Taken, now.Refused = time.Now(), i.read.Load(), i.taken.Load(), i.refused.Load()
			if text, err := json.Marshal(now); err == nil {
				try(func(ctx context.Context) { a.Redis.HSet(ctx, importsKey, id, text) })
			}
			select {
			case <-tick.C:
			case <-ended:
				try(func(ctx context.Context) { a.Redis.HDel(ctx, importsKey, id) })
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-gone
	}
}
