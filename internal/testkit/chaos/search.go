package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"carillon/internal/testkit/lab"
)

// searched are the places that a search must have looked at: nothing found where nothing was read proves nothing.
var searched = []string{"log", "answer", "monitor", "task", "Redis", "process list", "output"}

// search looks for OpenIM's secret and tokens wherever the product leaves a text. What is gone when the trial ends, such
// as tasks in Redis and the monitor's pages, it gathers while the trial runs.
type search struct {
	s      *System
	secret string
	wrong  string // a secret that OpenIM refuses: the words about it must not quote it
	end    func() // the gathering; it may be called twice
	client http.Client

	mu    sync.Mutex
	texts map[string][]byte // by the place and its name
	err   error             // of the last gathering that failed while the API was up
}

// search begins to gather.
func (s *System) search(secret string) *search {
	h := &search{s: s, secret: secret, wrong: "wrong-" + secret[:8], texts: map[string][]byte{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	h.end = func() { cancel(); <-done }
	go func() {
		defer close(done)
		o, err := redis.ParseURL(s.redis.URL())
		if err != nil {
			h.err = err
			return
		}
		rdb := redis.NewClient(o)
		defer rdb.Close()
		for lab.Sleep(ctx, 500*time.Millisecond) {
			h.processes()
			if err := errors.Join(h.tasks(ctx, rdb), h.pages(ctx)); err != nil && ctx.Err() == nil {
				h.mu.Lock()
				h.err = err
				h.mu.Unlock()
			}
		}
	}()
	return h
}

func (h *search) add(place string, text []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !bytes.Contains(h.texts[place], text) {
		h.texts[place] = append(append(h.texts[place], text...), '\n')
	}
}

// processes gathers the process list.
func (h *search) processes() {
	for _, c := range append([]*lab.Process{h.s.API}, h.s.Workers...) {
		raw, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(c.PID()), "cmdline"))
		if err == nil { // else it was killed
			h.add("process list: "+c.Name, raw)
		}
	}
}

// tasks gathers all that stands in Redis, the queue's tasks and everything else.
func (h *search) tasks(ctx context.Context, rdb *redis.Client) error {
	keys := rdb.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		var err error
		var value any
		switch kind := rdb.Type(ctx, key).Val(); kind {
		case "string":
			value, err = rdb.Get(ctx, key).Result()
		case "hash":
			value, err = rdb.HGetAll(ctx, key).Result()
		case "list":
			value, err = rdb.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = rdb.SMembers(ctx, key).Result()
		case "zset":
			value, err = rdb.ZRange(ctx, key, 0, -1).Result()
		case "stream":
			value, err = rdb.XRange(ctx, key, "-", "+").Result()
		case "none": // it has just gone
		default:
			err = fmt.Errorf("what is a key of type %s", kind)
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("redis key %s: %w", key, err)
		}
		place := "Redis"
		if strings.HasPrefix(key, "asynq:{") && strings.Contains(key, ":t:") {
			place = "task"
		}
		h.add(place+": all", fmt.Appendf(nil, "%s %s", key, value))
	}
	return keys.Err()
}

// pages gathers what the monitor shows.
func (h *search) pages(ctx context.Context) error {
	list := []string{"/monitor/", "/monitor/api/queues", "/monitor/api/servers", "/monitor/api/redis_info"}
	raw, err := h.get(ctx, list[1])
	if err != nil {
		return nil //nolint:nilerr // the API was killed, as the trial has it
	}
	var queues struct {
		Queues []struct {
			Queue string `json:"queue"`
		} `json:"queues"`
	}
	if err := json.Unmarshal(raw, &queues); err != nil || len(queues.Queues) == 0 {
		return fmt.Errorf("the monitor shows no queues: %.200q, %w", raw, err)
	}
	for _, q := range queues.Queues {
		for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
			list = append(list, "/monitor/api/queues/"+q.Queue+"/"+state+"_tasks")
		}
	}
	for _, url := range list {
		if raw, err = h.get(ctx, url); err == nil {
			h.add("monitor: "+url, raw)
		}
	}
	return nil
}

// get is any page of the API's, with all its headers. The client does not show them, and has no calls for the monitor.
func (h *search) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.s.API.URL+url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("token", h.s.token)
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var head bytes.Buffer
	_ = resp.Header.Write(&head) // to memory
	body, err := io.ReadAll(resp.Body)
	h.add("answer: headers of "+url, head.Bytes())
	return body, err
}

// outputs gathers what commands say, of OpenIM as it is and with a secret that OpenIM refuses.
func (h *search) outputs(ctx context.Context) error {
	said, err := h.s.API.Run(ctx, "doctor")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, said)
	}
	h.add("output of doctor", []byte(said))
	wrong := lab.Process{Bin: h.s.API.Bin, Log: h.s.API.Log, Env: append(slices.Clone(h.s.API.Env), "CARILLON_OPENIM_SECRET="+h.wrong)}
	said, err = wrong.Run(ctx, "doctor")
	if err == nil {
		return errors.New("doctor likes a secret that OpenIM refuses: " + said)
	}
	h.add("output of doctor, wrong secret", fmt.Appendf(nil, "%s\n%v", said, err))
	return nil
}

// judge ends the gathering, reads the logs and what the API answers about a campaign, and looks for each secret.
func (h *search) judge(ctx context.Context, campaign string) (Check, error) {
	h.end()
	if h.err != nil {
		return Check{}, h.err
	}
	for _, url := range []string{
		"/v1/events?limit=1000", "/v1/campaigns?limit=1000", "/v1/campaigns/" + campaign, "/v1/campaigns/" + campaign + "/failures",
		"/v1/campaigns/" + campaign + "/recipients.ndjson", "/v1/campaigns/none", "/v1/directory/sync", "/v1/nowhere", "/metrics", "/readyz",
	} {
		raw, err := h.get(ctx, url)
		if err != nil {
			return Check{}, err
		}
		h.add("answer: "+url, raw)
	}
	if err := h.outputs(ctx); err != nil {
		return Check{}, err
	}
	for _, c := range append([]*lab.Process{h.s.API}, h.s.Workers...) {
		raw, err := os.ReadFile(c.Log)
		if err != nil {
			return Check{}, err
		}
		if c == h.s.API && !bytes.Contains(raw, []byte("level=DEBUG")) { // it has just refused a request
			return Check{}, fmt.Errorf("%s has no line of level debug", c.Log)
		}
		h.texts["log: "+c.Name] = raw
	}
	tokens := h.s.OpenIM.Shown()
	return judgeSearch(h.texts, h.secret, h.wrong, tokens), nil
}

// judgeSearch looks for the secrets and the tokens in all texts. Of a token its signature alone would do for a leak: the
// rest is no secret.
func judgeSearch(texts map[string][]byte, secret, wrong string, tokens []string) Check {
	needles := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), wrong}
	for _, t := range tokens {
		needles = append(needles, t[strings.LastIndexByte(t, '.')+1:])
	}
	var found []string
	size := map[string]int{}
	for name, text := range texts {
		for _, place := range searched {
			if strings.HasPrefix(name, place) {
				size[place] += len(text)
			}
		}
		for _, n := range needles {
			if bytes.Contains(text, []byte(n)) {
				found = append(found, name)
				break
			}
		}
	}
	slices.Sort(found)
	c := check("secrets", len(found) == 0, "the secret or one of %d tokens stands in %d of %d texts %v; bytes read: %v", len(tokens), len(found), len(texts), found, size)
	if c.Verdict == Pass && (len(tokens) == 0 || len(size) < len(searched)) {
		c.Verdict = NotExercised
	}
	return c
}
