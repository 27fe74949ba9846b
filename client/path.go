package client

import (
	"net/url"
	"strings"
)

// below is the address of one of the API's paths at a server. An ID that is "." or ".." is escaped
// there: without that the ID would be a step in the path, and the path another route's. All
// generated calls make their address by it; see generate.go.
func below(server *url.URL, path string) (*url.URL, error) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if i > 0 && (s == "." || s == "..") { // the first is the dot of a relative path
			segments[i] = strings.ReplaceAll(s, ".", "%2E")
		}
	}
	return server.Parse(strings.Join(segments, "/"))
}
