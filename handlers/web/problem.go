package web

// Problem is one finding of /readyz. Detail may name hosts, so only admins see it.
type Problem struct {
	What   string `json:"what"` // "database", "redis", "migrations"
	Detail string `json:"detail,omitempty"`
}
