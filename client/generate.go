package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml ../docs/openapi.yaml
//go:generate go test -run TestGeneratedIsCurrent -write .
