package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// netPoster sends over net/http, with connections kept alive for as many as send at once.
type netPoster struct {
	*bodies
	ctx    context.Context //nolint:containedctx // it lives as long as the loop that made it
	url    string
	client *http.Client
}

func newNetPosters(ctx context.Context, p *Provider, conns int) (func() poster, error) {
	if _, err := newBodies(); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns, MaxIdleConns: conns}}
	return func() poster {
		text, _ := newBodies() // it has been tried
		return &netPoster{text, ctx, p.URL(), client}
	}, nil
}

func (n *netPoster) post(lo, hi int) error {
	req, err := http.NewRequestWithContext(n.ctx, http.MethodPost, n.url, bytes.NewReader(n.render(lo, hi)))
	if err != nil {
		return err
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	return ok(resp.StatusCode)
}
