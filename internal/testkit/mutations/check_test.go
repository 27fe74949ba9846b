package main

import (
	"os/exec"
	"testing"
)

// TestGuardsAreWhereTheTableSays: code that moved away from under the table would be noticed only by the next `make mutations`.
func TestGuardsAreWhereTheTableSays(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "run", "-tags", "mutations", ".", "--check", "--root", "../../..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
