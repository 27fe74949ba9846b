package models

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"gorm.io/gorm/schema"
)

// JSON encodes v as encoding/json does, but leaves <, > and & as they are: what a caller gave goes out as it came in.
func JSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// asItIs stores a column as JSON.
type asItIs struct{ schema.JSONSerializer }

// Value is the column's text.
func (asItIs) Value(_ context.Context, _ *schema.Field, _ reflect.Value, v any) (any, error) {
	raw, err := JSON(v)
	if err != nil {
		return nil, fmt.Errorf("store as JSON: %w", err)
	}
	return string(raw), nil
}
