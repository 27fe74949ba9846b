// Package docs holds the one document of this folder that programs read.
package docs

import _ "embed"

// OpenAPI is openapi.yaml: the contract of the HTTP API, OpenAPI 3.1 as YAML.
//
//go:embed openapi.yaml
var OpenAPI []byte
