package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build is how the product is built.
type Build struct {
	Dir   string            // where the binary goes; it exists
	Race  bool              // with the race detector
	Tags  string            // build tags, with commas
	Added map[string][]byte // files more of the product's command, by their names; the product itself has no such switches
}

// Run builds the product as it is shipped, but for what b asks for, and gives the binary's file.
func (b Build) Run(ctx context.Context) (bin string, err error) {
	bin = filepath.Join(b.Dir, "carillon")
	args, cgo := []string{"build", "-ldflags", "-s -w", "-o", bin}, "CGO_ENABLED=0"
	if b.Race {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	if b.Tags != "" {
		args = append(args, "-tags", b.Tags)
	}
	if len(b.Added) > 0 {
		overlay, err := b.overlay(ctx)
		if err != nil {
			return "", err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "carillon/cmd/carillon")...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// overlay writes the files more, and the file that tells the go command of them.
func (b Build) overlay(ctx context.Context) (file string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "carillon/cmd/carillon").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	command, replace := strings.TrimSpace(string(out)), map[string]string{}
	for name, text := range b.Added {
		source := filepath.Join(b.Dir, name)
		if err := os.WriteFile(source, text, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(command, name)] = source
	}
	raw, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return "", err
	}
	file = filepath.Join(b.Dir, "overlay.json")
	return file, os.WriteFile(file, raw, 0o600)
}
