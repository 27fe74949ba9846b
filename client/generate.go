package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml ../docs/openapi.yaml
//go:generate gofmt -w -r "serverURL.Parse(operationPath) -> below(serverURL, operationPath)" api.gen.go
//go:generate go test -run TestGeneratedIsCurrent -write .
