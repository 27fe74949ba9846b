package client

import (
	"context"
	"io"
	"net/http"
)

// request makes a request of a path that begins with a slash. IDs in the path must be escaped.
func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, method, c.Address()+path, body)
}
